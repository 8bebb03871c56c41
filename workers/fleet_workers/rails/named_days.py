"""Finds the days that an answer names, by date or by weekday, and tells which are known."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from fleet_workers.rails.days import Day, days_in, relative_days

_MONTHS: Final = {
    "January": "januar enero janvier gennaio januari janeiro",
    "February": "februar febrero février fevrier febbraio februari fevereiro",
    "March": "märz marzo mars maart março",
    "April": "abril avril aprile",
    "May": "mai mayo maggio mei maio",
    "June": "juni junio juin giugno junho",
    "July": "juli julio juillet luglio julho",
    "August": "agosto août aout augustus",
    "September": "septiembre septembre settembre setembro",
    "October": "oktober octubre octobre ottobre outubro",
    "November": "noviembre novembre novembro",
    "December": "dezember diciembre décembre decembre dicembre december dezembro",
}
_ENGLISH: Final = {word: month for month, words in _MONTHS.items() for word in words.split()}
_FOREIGN: Final = re.compile(
    rf"(\d)\.?\s+(?:de\s+)?({'|'.join(_ENGLISH)})\b(?:\s+de)?", re.IGNORECASE
)
_TIME_AFTER: Final = re.compile(r"(\d{4}-\d{2}-\d{2})[T_]")
_SHORT_YEAR: Final = re.compile(r"(?<![\d./])(\d{1,2})([./])(\d{1,2})\2(\d{2})(?![\d/]|\.\d)")
_MONTH: Final = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b\.?"
)
_DAY: Final = r"\d{1,2}(?:st|nd|rd|th)?\b"
_DATE: Final = re.compile(
    r"\b\d{4}-\d{1,2}-\d{1,2}\b|\b\d{1,2}[./]\d{1,2}[./]\d{4}\b"
    rf"|\b{_MONTH}[^\S\n]+(?:the[^\S\n]+)?{_DAY}(?:,?[^\S\n]+\d{{4}}\b)?"
    rf"|\b{_DAY}[^\S\n]+(?:of[^\S\n]+)?{_MONTH}(?:,?[^\S\n]+\d{{4}}\b)?",
    re.IGNORECASE,
)
_NAMES: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_WEEKDAY: Final = re.compile(
    rf"\b(?:on|by|until|till|before|next|this|coming|for)\s+(?:the\s+)?({'|'.join(_NAMES)})\b"
    rf"(?!\s*(?:to|through|until|till|and|or|-|\u2013|,)\s*(?:{'|'.join(_NAMES)}|weekend))",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownDays:
    """Days that stand in texts, and the weekdays that they fall on or that are named."""

    days: frozenset[Day]
    weekdays: frozenset[str]

    def hold(self, named: str) -> bool:
        """Tell whether a date or weekday of an answer is one of these."""
        if named.lower() in _NAMES:
            return named.lower() in self.weekdays
        return any(_agree(day, known) for day in days_in([_plain(named)]) for known in self.days)


def known_days(
    records: Iterable[str], asked: Iterable[str] = (), today: date | None = None
) -> KnownDays:
    """The days of records, and those that a request, made `today`, names or counts from it.

    The day of the request is known, and its neighbours: it differs from one place to another.
    """
    asked = [_plain(each) for each in asked]
    texts = [*map(_plain, records), *asked]
    days = set(days_in(texts))
    if today is not None:
        days |= relative_days(asked, today)
        days |= {_day(today + timedelta(days=offset)) for offset in (-1, 0, 1)}
    lowered = " ".join(texts).lower()
    named = {name for name in _NAMES if name in lowered}
    return KnownDays(days=frozenset(days), weekdays=frozenset(named | set(_weekdays(days))))


def days_named(text: str) -> list[str]:
    """Every date, and every weekday that a text means one day by, as it is written."""
    plain = _plain(text)
    dates = [match.group().strip() for match in _DATE.finditer(plain)]
    real = [each for each in dates if days_in([each])]
    return real + [match[1] for match in _WEEKDAY.finditer(plain)]


def _plain(text: str) -> str:
    """The text with dates as the rest of the code reads them: English months, four-digit years."""
    text = _TIME_AFTER.sub(r"\1 ", text)
    text = _SHORT_YEAR.sub(r"\1\g<2>\3\g<2>20\4", text)
    return _FOREIGN.sub(lambda match: f"{match[1]} {_ENGLISH[match[2].lower()]}", text)


def _agree(one: Day, other: Day) -> bool:
    same_year = one.year is None or other.year is None or one.year == other.year
    return same_year and (one.month, one.day) == (other.month, other.day)


def _weekdays(days: Iterable[Day]) -> Iterable[str]:
    for each in days:
        if each.year is not None:
            try:
                yield _NAMES[date(each.year, each.month, each.day).weekday()]
            except ValueError:  # the 31st of a month of thirty days
                continue


def _day(value: date) -> Day:
    return Day(value.year, value.month, value.day)
