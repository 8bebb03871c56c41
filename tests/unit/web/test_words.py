"""How the console words times, spans and money."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from fleet_workers.web.console.wording import due_words, duration_words, excerpt, money_words

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 ms"),
        (0.24, "240 ms"),
        (1.84, "1.8 s"),
        (185, "3 min 5 s"),
        (3600, "1 h"),
        (15_000, "4 h 10 min"),
        (172_799, "47 h 59 min"),
        (180_000, "2 d 2 h"),
    ],
)
def test_a_span_is_told_in_the_unit_that_fits(seconds: float, words: str) -> None:
    assert duration_words(timedelta(seconds=seconds)) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (30, "now"),
        (-30, "just overdue"),
        (1500, "in 25 min"),
        (-7500, "2 h 5 min overdue"),
        (864_000, "in 10 d"),
    ],
)
def test_what_is_due_is_told_from_now(seconds: float, words: str) -> None:
    assert due_words(NOW + timedelta(seconds=seconds), NOW) == words


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        (None, "\u2013"),
        (Decimal(0), "$0.00"),
        (Decimal("1234.5"), "$1,234.50"),
        (Decimal("0.0042"), "$0.0042"),
        (Decimal("0.00042"), "$0.000420"),
    ],
)
def test_money_has_as_many_places_as_say_something(amount: Decimal | None, words: str) -> None:
    assert money_words(amount) == words


def test_a_long_value_is_cut_with_a_word_about_the_rest() -> None:
    assert excerpt("x" * 20_000) == "x" * 20_000
    assert excerpt("x" * 21_500).endswith("\n\u2026 1,500 more characters")
