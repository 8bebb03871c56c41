"""What models cost: from the operators' file, and never taken for zero where it is not known."""

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


def test_without_a_file_only_the_built_in_model_has_a_price() -> None:
    prices = load_prices(None)
    assert prices.is_free("offline-agent")
    assert prices.is_free("gpt-small") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("models = {}", "as_of"),
        ("as_of = 2026-01-31\n[models.x]\ninput_usd = -1\noutput_usd = 1", "input_usd"),
        ("as_of = 2026-01-31\n[models.x]\ninput_usd = nan\noutput_usd = 1", "input_usd"),
        ("as_of = 2026-01-31\n[models.x]\ninput_usd = 1", "output_usd"),
        ("as_of = 2026-01-31\n[models.x]\ninput_usd = 1\noutput_usd = 1\nunit = 1", "unit"),
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
