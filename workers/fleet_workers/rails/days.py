"""Finds the days that a text names, so that a date in a call can be held against the request."""

import re
from collections.abc import Iterable
from datetime import date, timedelta
from typing import Final, NamedTuple

_MONTHS: Final = {
    name: number
    for number, names in enumerate(
        (
            ("january", "jan"),
            ("february", "feb"),
            ("march", "mar"),
            ("april", "apr"),
            ("may",),
            ("june", "jun"),
            ("july", "jul"),
            ("august", "aug"),
            ("september", "sept", "sep"),
            ("october", "oct"),
            ("november", "nov"),
            ("december", "dec"),
        ),
        start=1,
    )
    for name in names
}
_MONTH = "(" + "|".join(sorted(_MONTHS, key=len, reverse=True)) + r")\b\.?"
_DAY = r"(\d{1,2})(?:st|nd|rd|th)?\b"
_YEAR = r"(?:,?\s+(\d{4})\b)?"
_ISO: Final = re.compile(r"\b(\d{4})-(\d{1,2})-(\d{1,2})\b")
_NUMERIC: Final = re.compile(r"\b(\d{1,2})[./](\d{1,2})[./](\d{4})\b")
_MONTH_DAY: Final = re.compile(rf"\b{_MONTH}\s+(?:the\s+)?{_DAY}{_YEAR}", re.IGNORECASE)
_DAY_MONTH: Final = re.compile(rf"\b{_DAY}\s+(?:of\s+)?{_MONTH}{_YEAR}", re.IGNORECASE)
_LETTERS: Final = re.compile(r"[a-z]+")
_OFFSETS: Final = {"yesterday": -1, "today": 0, "tonight": 0, "tomorrow": 1}
_WEEKDAYS: Final = (
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
)
_VALUE: Final = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?\S*)?")


class Day(NamedTuple):
    """A day as a text names it; `year` is None where the text leaves it open."""

    year: int | None
    month: int
    day: int


def days_in(texts: Iterable[str]) -> frozenset[Day]:
    """All days named in the texts: ISO, `May 26th`, `14 November 2025`, and d/m/y both ways."""
    found: set[Day] = set()
    for text in texts:
        for year, month, day in _ISO.findall(text):
            found.add(Day(int(year), int(month), int(day)))
        for first, second, year in _NUMERIC.findall(text):
            found.add(Day(int(year), int(first), int(second)))
            found.add(Day(int(year), int(second), int(first)))
        for name, day, year in _MONTH_DAY.findall(text):
            found.add(Day(int(year) if year else None, _MONTHS[name.lower()], int(day)))
        for day, name, year in _DAY_MONTH.findall(text):
            found.add(Day(int(year) if year else None, _MONTHS[name.lower()], int(day)))
    return frozenset(found)


def relative_days(texts: Iterable[str], today: date) -> frozenset[Day]:
    """Days that the texts name by where they stand from today: tomorrow, on Friday, next week."""
    words = {word for text in texts for word in _LETTERS.findall(text.lower())}
    offsets = {offset for word, offset in _OFFSETS.items() if word in words}
    for number, name in enumerate(_WEEKDAYS):
        if name in words or name[:3] in words:
            ahead = (number - today.weekday()) % 7
            offsets |= {ahead, ahead + 7}
    if {"next", "week"} <= words:
        offsets |= set(range(1, 14))
    days = (today + timedelta(days=offset) for offset in offsets)
    return frozenset(Day(day.year, day.month, day.day) for day in days)


def day_of(value: str) -> date | None:
    """The day of an ISO date or time, or None where the value is something else."""
    match = _VALUE.fullmatch(value.strip())
    if match is None:
        return None
    try:
        return date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        return None


def is_named(day: date, days: Iterable[Day]) -> bool:
    """Tell whether a day is one of those named; one named without a year is of any year."""
    return any(
        (each.month, each.day) == (day.month, day.day) and each.year in {None, day.year}
        for each in days
    )
