"""Finds records in earlier tool results and chooses the one that a text speaks of."""

# ruff: noqa: PLR2004 - lengths and weights of single rules read best where they are used

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from fleet_workers.embedded.offline_model import values
from fleet_workers.embedded.offline_model.conversation import PastCall
from fleet_workers.embedded.offline_model.language import name_words, same_meaning, stem, stems
from fleet_workers.embedded.offline_model.schemas import Parameter

_MAX_RECORDS: Final = 400
_MAX_DEPTH: Final = 6
_NEWEST: Final = re.compile(
    r"\b(?:last|latest|newest|most recent|recent|current|this month|again)\b", re.IGNORECASE
)
_OLDEST: Final = re.compile(r"\b(?:first|oldest|earliest)\b", re.IGNORECASE)
_TWICE: Final = re.compile(r"\b(?:twice|double|duplicated?|two times|again)\b", re.IGNORECASE)
_DATE_VALUE: Final = re.compile(r"^\d{4}-\d{2}-\d{2}")
_NAMING_KEYS: Final = ("id", "code", "key", "slug", "number", "name")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """An object with plain values in a tool's result. `about` says what it is, as stems."""

    about: frozenset[str]
    fields: dict[str, Any]

    @property
    def dates(self) -> list[str]:
        """Its dates as ISO text, in the order of its fields."""
        return [
            value
            for value in self.fields.values()
            if isinstance(value, str) and _DATE_VALUE.match(value)
        ]


def records(calls: Iterable[PastCall]) -> list[Record]:
    """Every record in the results of successful calls, the newest call's first."""
    found: list[Record] = []
    for call in reversed(list(calls)):
        if call.answered and call.error is None:
            about = frozenset(stem(word) for word in name_words(call.name))
            _collect(call.result, about, found, 0)
    return found


def _collect(value: Any, about: frozenset[str], found: list[Record], depth: int) -> None:
    if depth > _MAX_DEPTH or len(found) >= _MAX_RECORDS:
        return
    if isinstance(value, list):
        for item in value:
            _collect(item, about, found, depth + 1)
    elif isinstance(value, dict):
        plain = {
            str(key): item
            for key, item in value.items()
            if isinstance(item, str | int | float | bool)
        }
        if plain:
            found.append(Record(about=about, fields=plain))
        for key, item in value.items():
            if isinstance(item, dict | list):
                inner = frozenset(stem(word) for word in name_words(str(key)))
                _collect(item, inner, found, depth + 1)


def value_for(record: Record, parameter: Parameter) -> Any:
    """The record's value for an argument, or None where it has none."""
    if parameter.name in record.fields:
        return record.fields[parameter.name]
    entity = parameter.entity
    for key, value in record.fields.items():
        key_words = [stem(word) for word in name_words(key)]
        if entity and entity <= set(key_words) and key_words[-1] in {"id", "numb", "cod", "ref"}:
            return value
    is_kind = not entity or any(
        same_meaning(one, other) for one in entity for other in record.about
    )
    if is_kind or _prefix_fits(record, entity):
        for key in _NAMING_KEYS:
            if key in record.fields:
                return record.fields[key]
    return None


def _prefix_fits(record: Record, entity: frozenset[str]) -> bool:
    value = record.fields.get("id")
    if not isinstance(value, str) or not (letters := re.match(r"[A-Za-z]{2,}", value)):
        return False
    return any(is_short_for(letters[0], word) for word in entity)


def is_short_for(letters: str, word: str) -> bool:
    """Tell whether letters abbreviate a word: the same first letter, the rest in order."""
    letters, word = letters.lower(), word.lower()
    if not letters or not word or letters[0] != word[0]:
        return False
    rest = iter(word)
    return all(letter in rest for letter in letters)


def fit(record: Record, text: str, today: date) -> float:
    """How well a record fits what a text says: ids, amounts, dates and words that they share."""
    score = 0.0
    mentioned = {each.lstrip("#").lower() for each in values.identifiers(text)}
    mentioned |= {each.lower() for each in values.emails(text)}
    sums = values.amounts(text) + [number for number in values.numbers(text) if number >= 5]
    named_days = values.days(text, today)
    said = set(stems(text))
    for value in record.fields.values():
        if isinstance(value, str):
            if value.lstrip("#").lower() in mentioned:
                score += 6
            if _DATE_VALUE.match(value):
                score += _date_fit(value, named_days)
            elif len(value) < 2_000:
                score += min(2.0, 0.8 * len(said & set(stems(value))))
        if (number := _as_amount(value)) is not None and any(
            abs(number - each) < 0.01 or abs(number / 100 - each) < 0.01 for each in sums
        ):
            score += 3
    return score


def _as_amount(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, str) and re.fullmatch(r"\d{1,9}\.\d{2}", value):
        return float(value)
    return None


def _date_fit(value: str, named: Sequence[values.Day]) -> float:
    year, month, day = int(value[:4]), int(value[5:7]), int(value[8:10])
    return max(
        (
            2.5 if each.day else 2.0
            for each in named
            if each.month == month and each.day in {None, day} and each.year in {None, year}
        ),
        default=0.0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The records of a kind, the best first; `certain` where the text singles the first out."""

    ranked: tuple[Record, ...]
    certain: bool


def choose(candidates: Sequence[Record], text: str, today: date) -> Choice:
    """Rank records by how well they fit a text. Newer ones come first among equals."""
    if len(candidates) <= 1:
        return Choice(ranked=tuple(candidates), certain=bool(candidates))
    scores = [fit(record, text, today) for record in candidates]
    newest_first = sorted(
        range(len(candidates)), key=lambda at: max(candidates[at].dates, default=""), reverse=True
    )
    if _OLDEST.search(text):
        newest_first.reverse()
    if _NEWEST.search(text) or _OLDEST.search(text):
        best = max(scores)
        fitting = next(at for at in newest_first if scores[at] >= best)
        scores[fitting] += 1.5
    if _TWICE.search(text) and (doubled := _doubled(candidates, newest_first)) is not None:
        scores[doubled] += 2.5
    order = sorted(newest_first, key=lambda at: -scores[at])
    certain = scores[order[0]] - scores[order[1]] >= 0.5
    return Choice(ranked=tuple(candidates[at] for at in order), certain=certain)


def _doubled(candidates: Sequence[Record], newest_first: Sequence[int]) -> int | None:
    """The newer one of two records with the same amount."""
    seen: dict[float, int] = {}
    for at in newest_first:
        amount = next(
            (
                number
                for key, value in candidates[at].fields.items()
                if {"amount", "total", "price", "sum"} & set(name_words(key))
                and (number := _as_amount(value))
            ),
            None,
        )
        if amount is not None and amount in seen:
            return seen[amount]
        if amount is not None:
            seen[amount] = at
    return None
