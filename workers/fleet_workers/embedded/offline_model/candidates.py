"""Finds the values in a text that may be meant for one argument, by its type, form and name."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from fleet_workers.embedded.offline_model import values
from fleet_workers.embedded.offline_model.language import same_meaning, stem, words
from fleet_workers.embedded.offline_model.records import is_short_for
from fleet_workers.embedded.offline_model.schemas import Parameter
from fleet_workers.embedded.offline_model.texts import is_free_text, named_value, words_for
from fleet_workers.embedded.offline_model.validity import compiled

_EXTRA_MATCHED: Final = re.compile(r"[^\s,;!?()\"“”]+")
_MONEY_WORDS: Final = frozenset(
    {"amount", "price", "sum", "total", "value", "cost", "usd", "eur", "cents"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How a text is read: which day it is, for which wish, and with ids of unknown kind or not."""

    today: date
    wish: str
    lenient: bool


def candidates(parameter: Parameter, text: str, reading: Reading) -> Sequence[Any]:
    """Values in a text that may be meant for an argument, the likeliest first."""
    named = set(parameter.words)
    form = parameter.schema.get("format")
    if parameter.type in {"integer", "number"}:
        return _number_candidates(parameter, text, named)
    if form == "email" or named & {"email", "mail", "emails"}:
        return values.emails(text)
    if (stated := _moment_candidates(parameter, text, reading.today)) is not None:
        return stated
    if parameter.type == "string" and named & _MONEY_WORDS and not parameter.is_identifier:
        return [f"{amount:.2f}" for amount in values.amounts(text)]
    return _word_candidates(parameter, text, reading)


def _word_candidates(parameter: Parameter, text: str, reading: Reading) -> Sequence[Any]:
    if compiled(parameter.schema.get("pattern")) is not None:
        return _pattern_candidates(parameter, text)
    if parameter.is_identifier or parameter.schema.get("format") == "uuid":
        return _id_candidates(parameter, text, lenient=reading.lenient)
    if is_free_text(parameter):
        return [words_for(parameter, text)] if parameter.required or text == reading.wish else []
    return named_value(parameter, text)


def _moment_candidates(parameter: Parameter, text: str, today: date) -> Sequence[str] | None:
    """Days and times, or None where the argument takes neither."""
    named, form = set(parameter.words), parameter.schema.get("format")
    if form == "date-time":
        stated = values.moment(text, today)
        return [stated] if stated else []
    if form == "date" or named & {"date", "day", "month", "on", "since", "until"}:
        return _day_candidates(parameter, text, today)
    if form == "time" or "time" in named:
        at = values.clock_time(text)
        return [f"{at[0]:02d}:{at[1]:02d}"] if at else []
    return None


def _number_candidates(parameter: Parameter, text: str, named: set[str]) -> Sequence[float]:
    if named & _MONEY_WORDS:
        sums = values.amounts(text)
        return [amount * 100 for amount in sums] if "cents" in named else sums
    for word in parameter.words:
        near = re.search(
            rf"(\d+(?:\.\d+)?)\s+{re.escape(stem(word))}|{re.escape(word)}\D{{0,6}}(\d+(?:\.\d+)?)",
            text,
            re.IGNORECASE,
        )
        if near:
            return [float(near[1] or near[2])]
    return values.numbers(text) if parameter.required else []


def _day_candidates(parameter: Parameter, text: str, today: date) -> list[str]:
    found = []
    for named in values.days(text, today):
        day = values.full_date(named, today)
        if day is not None:
            found.append(day.isoformat())
        elif "month" in parameter.words:
            found.append(f"{named.year or today.year}-{named.month:02d}")
    return found


def _pattern_candidates(parameter: Parameter, text: str) -> list[str]:
    found = [each.strip(".'`") for each in values.identifiers(text)]
    found += values.emails(text)
    found += [each.strip(".':`").removesuffix("'s") for each in _EXTRA_MATCHED.findall(text)]
    found += [*values.given_names(text), *values.capitalised(text)]
    pattern = compiled(parameter.schema.get("pattern"))
    loose = pattern is not None and pattern.search("with") is not None
    if loose and not parameter.is_identifier:
        return named_value(parameter, text)
    return [each for each in found if not loose or any(letter.isdigit() for letter in each)]


def _id_candidates(parameter: Parameter, text: str, *, lenient: bool) -> list[str]:
    fitting: list[str] = []
    unknown: list[str] = []
    for found in values.identifiers(text):
        letters = re.match(r"#?([A-Za-z]+)", found)
        if letters is None or len(letters[1]) == 1:
            fits = _stands_after(parameter, found, text)
        else:
            fits = any(is_short_for(letters[1], word) for word in parameter.words)
        (fitting if fits else unknown).append(found)
    # A bare number is taken for the id wanted only where no word says what it is the id of.
    return fitting or (unknown if lenient else [])


def _stands_after(parameter: Parameter, found: str, text: str) -> bool:
    before = words(text[: text.find(found)])[-4:]
    entity = parameter.entity
    return any(same_meaning(stem(word), one) for word in before for one in entity)
