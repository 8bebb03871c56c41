"""Prices that change while a process runs."""

from decimal import Decimal
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from fleet_contracts.errors import ConfigurationError
from fleet_workers.models.price_file import PriceFile

ONE = "as_of = 2026-01-31\n[models.m]\ninput_usd = 1\noutput_usd = 1\n"
MILLION = {"input_tokens": 1_000_000, "output_tokens": 0}


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "prices.toml"
    path.write_text(ONE)
    return path


def test_a_change_counts_after_the_next_look(path: Path) -> None:
    clock = Clock()
    prices = PriceFile(path, look_seconds=5, clock=clock)
    path.write_text(ONE.replace("input_usd = 1", "input_usd = 25"))
    assert prices.cost_usd("m", **MILLION) == 1
    clock.seconds = 5.0
    assert prices.cost_usd("m", **MILLION) == 25


@pytest.mark.parametrize("damage", ["no TOML =", "as_of = 2026-01-31\n[models.m]", None])
def test_a_file_that_has_become_wrong_leaves_the_last_good_prices(
    path: Path, damage: str | None
) -> None:
    clock = Clock()
    prices = PriceFile(path, look_seconds=5, clock=clock)
    path.unlink()
    if damage is not None:
        path.write_text(damage)
    clock.seconds = 5.0
    with capture_logs() as logs:
        assert prices.cost_usd("m", **MILLION) == 1
        assert prices.is_free("m") is False
    # I expect one line for the operator, which names the file, and none until the next change
    (said,) = logs
    assert (said["event"], said["log_level"]) == ("prices.not_reloaded", "warning")
    assert "prices.toml" in said["error"]
    path.write_text(ONE.replace("input_usd = 1", "input_usd = 30"))
    clock.seconds = 10.0
    assert prices.cost_usd("m", **MILLION) == Decimal(30)


def test_a_file_that_is_wrong_to_begin_with_stops_the_process(path: Path) -> None:
    path.write_text("as_of =")
    with pytest.raises(ConfigurationError, match=r"prices\.toml"):
        PriceFile(path)
