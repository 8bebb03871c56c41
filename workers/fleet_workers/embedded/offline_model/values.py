"""Finds values in a customer's words: ids, e-mail addresses, amounts, numbers, dates, names."""

# ruff: noqa: PLR2004 - lengths and weights of single rules read best where they are used

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from fleet_workers.embedded.offline_model.vocabulary import MONTHS, NUMBER_WORDS, WEEKDAYS

EMAIL: Final = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+", re.ASCII)
_ID: Final = re.compile(
    r"(?<![\w@.$€£-])#?(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    r"|[A-Za-z]{1,20}(?:[-_][A-Za-z]{1,20})?[-_]\d[\w-]*"
    r"|[A-Za-z]{1,4}\d{2,}\w*|\d{4,}(?:-\d+)*)(?![\w@]|\.\w)"
)
_HASH_ID: Final = re.compile(r"#([A-Za-z]*\d[\w-]*)")
_AMOUNT: Final = re.compile(
    r"(?:[$€£]|\b(?:usd|eur|gbp)\b)\s?(\d[\d,]{0,14}(?:\.\d{1,6})?)"
    r"|(\d[\d,]{0,14}(?:\.\d{1,6})?)\s?(?:[$€£]|(?:us )?dollars?\b|usd\b|"
    r"euros?\b|eur\b|bucks\b|pounds?\b|gbp\b)",
    re.IGNORECASE,
)
_NUMBER: Final = re.compile(r"(?<![\w#@.-])\d+(?:[.,]\d+)*(?![\w-])(?!\.\d)")
_ISO: Final = re.compile(r"\b(\d{4})-(\d{2})(?:-(\d{2}))?\b")
_SLASHED: Final = re.compile(r"\b(\d{1,2})[/.](\d{1,2})[/.](\d{4})\b")
_MONTH: Final = "|".join(f"{month}|{month[:3]}" for month in MONTHS)
_DAY_MONTH: Final = re.compile(
    rf"\b(\d{{1,2}})(?:st|nd|rd|th)?(?: of)? ({_MONTH})\b\.?,?(?: (\d{{4}}))?", re.IGNORECASE
)
_MONTH_DAY: Final = re.compile(
    rf"\b({_MONTH})\.? (\d{{1,2}})(?:st|nd|rd|th)?\b,?(?: (\d{{4}}))?(?!\d)", re.IGNORECASE
)
_MONTH_ONLY: Final = re.compile(
    rf"\b(?:in|for|from|since|last|this|of|during|the|my)\s+({_MONTH})\b(?: (\d{{4}}))?"
    rf"|\b({'|'.join(month for month in MONTHS if month not in {'march', 'may'})}|March)\b"
    rf"(?: (\d{{4}}))?",
)
_TIME: Final = re.compile(
    r"\b(\d{1,2})(?::(\d{2}))?\s?(am|pm)\b|\b(\d{1,2}):(\d{2})\b", re.IGNORECASE
)
_QUOTED: Final = re.compile(
    r"\"([^\"\n]{1,200})\"|“([^”\n]{1,200})”|(?<!\w)'([^'\n]{1,200})'(?!\w)"
)
_NAMED: Final = re.compile(
    r"\b(?:called|named|titled|name is|name it|call it|with the name)\s+(?:is\s+)?"
    r"([\w&][\w&.'-]*(?:\s+[A-Z0-9&][\w&.'-]*){0,5})"
)
_CAPITALISED: Final = re.compile(r"(?<=[\w,;:] )[A-Z][\w&'-]*(?: (?:of |the )?[A-Z0-9][\w&'-]*)*")
_NOT_NAMES: Final = frozenset({"i", "i'm", "i'd", "i've", "i'll", "ok", "please", "thanks", "asap"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """A day that a text names; without `day` the whole month is meant."""

    year: int | None
    month: int
    day: int | None


def emails(text: str) -> list[str]:
    """E-mail addresses in order, each once."""
    return list(dict.fromkeys(found.rstrip(".") for found in EMAIL.findall(text)))


def identifiers(text: str) -> list[str]:
    """Words that look like ids (`INV-1003`, `#W2378156`, long numbers), each once, as written."""
    taken = [found.span() for found in EMAIL.finditer(text)]
    taken += [found.span() for found in _ISO.finditer(text)]
    taken += [found.span() for found in _SLASHED.finditer(text)]
    years = {str(day.year) for day in days(text, None) if day.year}
    found_ids = []
    for pattern in (_ID, _HASH_ID):
        found_ids += [
            (found.start(), found[0])
            for found in pattern.finditer(text)
            if not any(start < found.end() and found.start() < end for start, end in taken)
        ]
    ordered = [value for _, value in sorted(found_ids)]
    return list(dict.fromkeys(value for value in ordered if value not in years))


def amounts(text: str) -> list[float]:
    """Sums of money, in the unit written."""
    found = [first or second for first, second in _AMOUNT.findall(text)]
    return [float(value.replace(",", "")) for value in found]


def numbers(text: str) -> list[float]:
    """Plain numbers that are no part of a date, an id or an address; number words count."""
    for pattern in (EMAIL, _ISO, _SLASHED, _DAY_MONTH, _MONTH_DAY, _TIME):
        text = pattern.sub(" ", text)
    found = [(match.start(), _to_number(match[0])) for match in _NUMBER.finditer(text)]
    found += [
        (match.start(), float(NUMBER_WORDS[match[0].lower()]))
        for match in re.finditer(r"[A-Za-z]+", text)
        if match[0].lower() in NUMBER_WORDS and match[0].lower() != "one"
    ]
    return [number for _, number in sorted(found)]


def _to_number(written: str) -> float:
    if re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", written):
        return float(written.replace(",", ""))
    parts = written.replace(",", ".").split(".")
    return float(f"{parts[0]}.{''.join(parts[1:])}" if len(parts) > 1 else parts[0])


def days(text: str, today: date | None) -> list[Day]:
    """Days and months that a text names. Without `today`, words such as tomorrow name none."""
    found: list[tuple[int, Day]] = []

    def note(at: int, year: str | None, month: int, day: int | None) -> None:
        if 1 <= month <= 12 and (day is None or 1 <= day <= 31):
            found.append((at, Day(year=int(year) if year else None, month=month, day=day)))

    for match in _ISO.finditer(text):
        note(match.start(), match[1], int(match[2]), int(match[3]) if match[3] else None)
    for match in _SLASHED.finditer(text):
        first, second = int(match[1]), int(match[2])
        day_first = first > 12 or "." in match[0]
        note(
            match.start(), match[3], second if day_first else first, first if day_first else second
        )
    for match in _DAY_MONTH.finditer(text):
        note(match.start(), match[3], _month(match[2]), int(match[1]))
    for match in _MONTH_DAY.finditer(text):
        note(match.start(), match[3], _month(match[1]), int(match[2]))
    if not found:
        for match in _MONTH_ONLY.finditer(text):
            note(match.start(), match[2] or match[4], _month(match[1] or match[3]), None)
    if today is not None:
        found += _relative_days(text, today)
    return [day for _, day in sorted(found, key=lambda pair: pair[0])]


def _relative_days(text: str, today: date) -> list[tuple[int, Day]]:
    found = []
    plain = text.lower()
    for word, shift in (("yesterday", -1), ("today", 0), ("tomorrow", 1)):
        if (match := re.search(rf"\b{word}\b", plain)) is not None:
            found.append((match.start(), _as_day(today + timedelta(days=shift))))
    for number, name in enumerate(WEEKDAYS):
        if (match := re.search(rf"\b(last )?{name}\b", plain)) is not None:
            ahead = (number - today.weekday()) % 7 or 7
            shift = ahead - 7 if match[1] and ahead != 7 else (-7 if match[1] else ahead)
            found.append((match.start(), _as_day(today + timedelta(days=shift))))
    if (match := re.search(r"\blast month\b", plain)) is not None:
        month = today.replace(day=1) - timedelta(days=1)
        found.append((match.start(), Day(year=month.year, month=month.month, day=None)))
    return found


def _as_day(day: date) -> Day:
    return Day(year=day.year, month=day.month, day=day.day)


def _month(name: str) -> int:
    return next(at for at, month in enumerate(MONTHS, start=1) if month[:3] == name[:3].lower())


def full_date(day: Day, today: date) -> date | None:
    """The calendar day meant, the year nearest to `today` where none was named."""
    if day.day is None:
        return None
    years = [day.year] if day.year else [today.year - 1, today.year, today.year + 1]
    candidates = []
    for year in years:
        try:
            candidates.append(date(year, day.month, day.day))
        except ValueError:
            continue
    return min(candidates, key=lambda each: abs(each - today), default=None)


def clock_time(text: str) -> tuple[int, int] | None:
    """The first time of day in a text, as hour and minute."""
    for match in _TIME.finditer(text):
        hour, minute = int(match[1] or match[4]), int(match[2] or match[5] or 0)
        if match[3]:
            hour = hour % 12 + (12 if match[3].lower() == "pm" else 0)
        if hour < 24 and minute < 60:
            return hour, minute
    return None


def moment(text: str, today: date) -> str | None:
    """A day with a time of day, as ISO 8601 text in UTC, where a text names both."""
    named, at = days(text, today), clock_time(text)
    day = full_date(named[0], today) if named else None
    if day is None or at is None:
        return None
    return datetime(day.year, day.month, day.day, *at).isoformat() + "Z"  # noqa: DTZ001 - Z


def quoted(text: str) -> list[str]:
    """What stands in quotation marks."""
    return [next(part for part in match if part).strip() for match in _QUOTED.findall(text)]


def given_names(text: str) -> list[str]:
    """What a text says that something is called, quoted or not."""
    named = [match.strip(" .,!?'\"") for match in _NAMED.findall(text)]
    return [*quoted(text), *(each for each in named if each)]


def capitalised(text: str) -> list[str]:
    """Capitalised words inside sentences: names of people, places and things."""
    found = [match.group().strip(" '") for match in _CAPITALISED.finditer(text)]
    return [
        name
        for name in dict.fromkeys(found)
        if name.lower() not in _NOT_NAMES
        and name.lower() not in MONTHS
        and name.lower() not in WEEKDAYS
        and not (name.isupper() and len(name) > 5)
    ]
