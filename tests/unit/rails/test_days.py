"""Days that a request names, whatever the form."""

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from fleet_workers.rails.days import days_in, is_named, relative_days
from fleet_workers.rails.provenance import TrustedTexts

DAYS = st.dates(date(1970, 1, 1), date(2199, 12, 30))


@given(day=DAYS)
def test_every_way_to_write_a_day_names_it(day: date) -> None:
    month = day.strftime("%B")
    for text in (
        day.isoformat(),
        f"on {month} {day.day}, {day.year}",
        f"the {day.day}th of {month} {day.year}",
        f"{day.day} {month[:3]} {day.year}",
        f"{month} {day.day}th",
        f"{day.day}.{day.month}.{day.year}",
    ):
        assert is_named(day, days_in([text])), text
        other = day + timedelta(days=1)
        assert not is_named(other, days_in([day.isoformat()]))


@given(today=DAYS)
def test_days_are_named_by_where_they_stand_from_today(today: date) -> None:
    assert is_named(today + timedelta(days=1), relative_days(["See you tomorrow."], today))
    assert is_named(today - timedelta(days=1), relative_days(["since yesterday"], today))
    name = (today + timedelta(days=3)).strftime("%A")
    assert is_named(today + timedelta(days=3), relative_days([f"on {name}"], today))
    assert relative_days(["some day"], today) == frozenset()


@given(text=st.text(max_size=200), today=DAYS)
def test_any_text_can_be_searched(text: str, today: date) -> None:
    texts = TrustedTexts(texts=(text,), today=today)
    for value in ("2026-05-01", "ord_1", 5, "5", 1.5, True):
        assert texts.holds(value) in {True, False}
