"""What models cost: from the operators' file, and never taken for zero where it is not known."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from fleet_contracts.errors import ConfigurationError
from fleet_workers.models.prices import Prices, load_prices

FILE = """
as_of = 2026-01-31
[models."gpt-*"]
input_usd = 1
output_usd = 2
[models."gpt-large*"]
input_usd = "10"
output_usd = 20.5
[models."gpt-large"]
input_usd = 0
output_usd = 30
[models."local/*"]
input_usd = 0
output_usd = 0
"""


@pytest.fixture
def prices(tmp_path: Path) -> Prices:
    return load(tmp_path, FILE)


def load(folder: Path, text: str) -> Prices:
    path = folder / "prices.toml"
    path.write_text(text)
    return load_prices(path)


def test_a_call_costs_what_its_tokens_cost(prices: Prices) -> None:
    cost = prices.cost_usd("gpt-large-2", input_tokens=1_000_000, output_tokens=3)
    assert cost == Decimal(10) + Decimal("0.0000615")


@pytest.mark.parametrize(
    ("model", "usd_of_a_million"), [("gpt-small", 2), ("gpt-large-2", "20.5"), ("gpt-large", 30)]
)
def test_the_longest_name_that_fits_counts(
    prices: Prices, model: str, usd_of_a_million: str
) -> None:
    found = prices.cost_usd(model, input_tokens=0, output_tokens=1_000_000)
    assert found == Decimal(usd_of_a_million)


def test_what_is_not_known_is_not_zero(prices: Prices) -> None:
    assert prices.cost_usd("other", input_tokens=1, output_tokens=1) is None
    assert prices.is_free("other") is None
    # An endpoint that tells no tokens has not worked for nothing
    assert prices.cost_usd("gpt-small", input_tokens=0, output_tokens=0) is None
    assert prices.is_free("gpt-small") is False


@pytest.mark.parametrize("model", ["local/llama", "offline-agent"])
def test_what_costs_nothing_costs_nothing(prices: Prices, model: str) -> None:
    assert prices.is_free(model)
    assert prices.cost_usd(model, input_tokens=9, output_tokens=9) == 0


def test_without_a_file_the_providers_list_prices_count() -> None:
    prices = load_prices(None)
    assert prices.is_free("offline-agent")
    assert prices.is_free("my-own-model") is None
    million = {"input_tokens": 1_000_000, "output_tokens": 0}
    assert prices.cost_usd("gpt-4.1-mini", **million) == Decimal("0.40")
    # A name that only looks like one has no known price: gpt-5-pro costs twelve times gpt-5
    assert prices.is_free("gpt-5-pro") is None


@pytest.mark.parametrize(("days", "is_old"), [(0, False), (180, False), (181, True)])
def test_a_list_that_nobody_has_looked_at_for_half_a_year_is_old(
    prices: Prices, days: int, is_old: bool
) -> None:
    assert prices.as_of is not None
    assert prices.is_old(prices.as_of + timedelta(days=days)) is is_old


UNKNOWN = """
as_of = 2026-01-31
[unknown]
input_usd = 10
output_usd = 50
[models.m]
input_usd = 1
output_usd = 2
batch_discount = 0.5
"""


def test_what_is_not_named_costs_what_the_operator_caps_it_at(tmp_path: Path) -> None:
    prices = load(tmp_path, UNKNOWN)
    assert prices.cost_usd("other at fallback", input_tokens=10**6, output_tokens=10**6) == 60
    assert prices.is_free("other") is False
    assert (prices.is_named("other"), prices.is_named("m at fallback")) == (False, True)
    assert prices.is_free("offline-agent")


def test_the_batch_api_takes_its_share_off(tmp_path: Path) -> None:
    prices = load(tmp_path, UNKNOWN)
    tokens = {"input_tokens": 10**6, "output_tokens": 10**6}
    assert prices.cost_usd("m", **tokens) == 3
    assert prices.cost_usd("m", **tokens, in_batch=True) == Decimal("1.5")
    assert prices.cost_usd("other", **tokens, in_batch=True) == 60


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("models = {}", "as_of"),
        ("as_of = 2026-01-31\n[models.x]\ninput_usd = -1\noutput_usd = 1", "input_usd"),
        ("as_of = 2026-01-31\n[models.x]\ninput_usd = nan\noutput_usd = 1", "input_usd"),
        ("as_of = 2026-01-31\n[models.x]\ninput_usd = 1", "output_usd"),
        ("as_of = 2026-01-31\n[models.x]\ninput_usd = 1\noutput_usd = 1\nunit = 1", "unit"),
        ("as_of = 2026-01-31\n[unknown]\ninput_usd = 0\noutput_usd = 1", "unknown.*above 0"),
        (
            "as_of = 2026-01-31\n[models.x]\ninput_usd = 1\noutput_usd = 1\nbatch_discount = 2",
            "batch_discount",
        ),
        ("as_of =", "TOML"),
    ],
)
def test_a_wrong_file_is_refused_with_its_fault(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        load(tmp_path, text)
    assert "prices.toml" in str(caught.value)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"FLEET_PRICES names .*gone\.toml"):
        load_prices(tmp_path / "gone.toml")


CACHED = """
as_of = 2026-01-31
[models.m]
input_usd = 4
output_usd = 8
cached_input_usd = 1
[models."m at fallback"]
input_usd = 40
output_usd = 80
[models."n*"]
input_usd = 1
output_usd = 1
"""


def test_input_from_a_prefix_cache_has_a_price_of_its_own(tmp_path: Path) -> None:
    prices = load(tmp_path, CACHED)
    million = {"input_tokens": 1_000_000, "output_tokens": 0}
    assert prices.cost_usd("m", **million) == 4
    assert prices.cost_usd("m", **million, cached_tokens=1_000_000) == 1
    assert prices.cost_usd("m", **million, cached_tokens=500_000) == Decimal("2.5")
    assert prices.cost_usd("n1", **million, cached_tokens=500_000) == 1


def test_another_endpoint_may_ask_another_price_for_the_same_model(tmp_path: Path) -> None:
    prices = load(tmp_path, CACHED)
    million = {"input_tokens": 1_000_000, "output_tokens": 0}
    assert prices.cost_usd("m at fallback", **million) == 40
    assert prices.cost_usd("n1 at fallback", **million) == 1
    assert prices.cost_usd("o at fallback", **million) is None


def test_a_cached_token_never_costs_more_than_what_is_reserved(tmp_path: Path) -> None:
    text = CACHED.replace("cached_input_usd = 1", "cached_input_usd = 5")
    with pytest.raises(ConfigurationError, match="cached_input_usd must not be above input_usd"):
        load(tmp_path, text)
