"""Tells where the values of a call come from: the request, records that are trusted, or neither.

After CaMeL (Debenedetti et al. 2025, "Defeating Prompt Injections by Design"): what may be done
follows from trusted text alone, and values carry where they came from. Here the values are found
again in the texts, so that any model can be used as it is.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation
from functools import cached_property
from typing import Any, Final

from fleet_workers.rails.days import Day, day_of, days_in, is_named, relative_days

_SPACE: Final = re.compile(r"[\s_\-\u2013]+")
_NUMBER: Final = re.compile(r"(?<![\w.,:/-])[-+]?\d[\d,]*(?:\.\d+)?(?![\w:/-]|[.,]\d)")
_SENTENCE_END: Final = re.compile(r"(?<=[.!?])\s+|\n+")
_NAME: Final = re.compile(r"[\w \-#]+")  # an address is no name: its parts stand everywhere
_WORD: Final = re.compile(r"\w+")
_NUMBERED: Final = r"(?:\b(?:id|no|nr|number|numbered)\b[\s.:=]*|#\s*|['\"`‘’“”])"  # noqa: RUF001 quotes that people type
_ADDRESS: Final = re.compile(
    r"(?:https?://|www\.)[^\s<>\"')\]]+|[\w.+-]+@[\w-]+\.[\w.-]+"
    r"|\b[\w-]+(?:\.[\w-]+)*\.(?:com|net|org|io|ly|co|info|biz|app|dev|me|xyz)\b(?:/[^\s<>\"')\]]*)?",
    re.IGNORECASE,
)
_LONG_NUMBER: Final = re.compile(r"(?<!\w)\+?\d(?:[ -]?\d){7,}(?!\w)")
_DECIMAL_COMMA: Final = re.compile(r"[-+]?\d{1,3}(?:\.\d{3})*,\d{2}")
_SPELLED: Final = dict(
    zip(
        ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "twelve"),
        ("1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "12"),
        strict=True,
    )
)
_SHORT_NUMBER: Final = 4
_SHORT_WORD: Final = 3
_SHORT_PREFIX: Final = 4
_WORDS_OF_A_NAME: Final = 3

EVERY_FIELD: Final = "*"
Scalar = str | int | float | bool | Decimal


@dataclass(frozen=True)
class TrustedTexts:
    """Texts of the request, as far as they are trusted; `today` is what `tomorrow` goes by."""

    texts: tuple[str, ...]
    today: date

    def holds(self, value: Scalar) -> bool:
        """Tell whether the value stands in the texts: as a word, a number, or a day."""
        if isinstance(value, bool):
            return False
        number = _decimal(value)
        if isinstance(value, str):
            day = day_of(value)
            if day is not None:
                return is_named(day, self._days)
            if number is None or number not in self._numbers or _is_short_number(value):
                return self._holds_words(value)
        return number is not None and number in self._numbers

    def shares_word(self, name: str) -> bool:
        """Tell whether a word of a short name stands in the texts."""
        words = _WORD.findall(_plain(name))
        if len(words) > _WORDS_OF_A_NAME or not _NAME.fullmatch(name):
            return False
        return any(len(word) >= _SHORT_PREFIX and word in self._words for word in words)

    def _holds_words(self, value: str) -> bool:
        wanted = _plain(value)
        if not wanted:
            return True
        pattern = rf"(?<!\w){re.escape(wanted)}(?!\w)"
        if _is_short_number(value):
            pattern = _NUMBERED + re.escape(wanted) + r"\b"
            return any(re.search(pattern, text, re.IGNORECASE) for text in self.texts)
        return any(re.search(pattern, text) for text in self._plain_texts)

    @cached_property
    def _plain_texts(self) -> tuple[str, ...]:
        return tuple(_plain(text) for text in self.texts)

    @cached_property
    def _words(self) -> frozenset[str]:
        return frozenset(word for text in self._plain_texts for word in _WORD.findall(text))

    @cached_property
    def _numbers(self) -> frozenset[Decimal]:
        found = [each for text in self.texts for each in _NUMBER.findall(text)]
        found += [
            each.replace(".", "").replace(",", ".")
            for text in self.texts
            for each in _DECIMAL_COMMA.findall(text)
        ]
        spelled = [number for word, number in _SPELLED.items() if word in self._words]
        return frozenset(each for each in map(_decimal, found + spelled) if each is not None)

    @cached_property
    def _days(self) -> frozenset[Day]:
        return days_in(self.texts) | relative_days(self.texts, self.today)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """What one call gave: groups of records beside one another, without what others wrote.

    `is_asked` tells that every argument of the call came from the request or from a record that
    the request pins down.
    """

    groups: tuple[tuple[Any, ...], ...]
    is_asked: bool
    has_arguments: bool


@dataclass(slots=True)
class Provenance:
    """What is trusted in one task, gathered call by call."""

    request: TrustedTexts
    _known: set[str | Decimal] = field(default_factory=set)  # of all trusted records
    _pinned: set[str | Decimal] = field(default_factory=set)  # of those the request tells apart

    def add(self, lookup: Lookup) -> None:
        """Take the records of a call in."""
        for group in lookup.groups:
            for record in group:
                self._known.update(*map(_forms, leaves(record)))
            for record in _pinned(group, lookup, self.request):
                self._pinned.update(*map(_forms, leaves(record)))

    def stands_in_request(self, value: Scalar) -> bool:
        """Tell whether the value stands in the request itself."""
        return self.request.holds(value)

    def is_known(self, value: Scalar) -> bool:
        """Tell whether the value stands in the request or in any trusted record."""
        return self.request.holds(value) or not self._known.isdisjoint(_forms(value))

    def is_determined(self, value: Scalar) -> bool:
        """Tell whether trusted text alone leads to the value: no untrusted text can choose it."""
        return self.request.holds(value) or not self._pinned.isdisjoint(_forms(value))


def leaves(value: Any) -> Iterator[Scalar]:
    """All scalars of a JSON value, without keys and nulls."""
    if isinstance(value, Mapping):
        for each in value.values():
            yield from leaves(each)
    elif isinstance(value, str | bool | int | float | Decimal):
        yield value
    elif isinstance(value, Sequence):
        for each in value:
            yield from leaves(each)


def without_fields(value: Any, names: Iterable[str]) -> Any:
    """A JSON value without the fields of these names, at any depth."""
    gone = frozenset(names)
    if isinstance(value, Mapping):
        return {key: without_fields(each, gone) for key, each in value.items() if key not in gone}
    if isinstance(value, list | tuple):
        return [without_fields(each, gone) for each in value]
    return value


def values_of_fields(value: Any, names: Iterable[str]) -> Iterator[Scalar]:
    """The scalars that stand under fields of these names, at any depth; `*` is every field."""
    wanted = frozenset(names)
    if EVERY_FIELD in wanted:
        yield from leaves(value)
        return
    if isinstance(value, Mapping):
        for key, each in value.items():
            if key in wanted:
                yield from leaves(each)
            else:
                yield from values_of_fields(each, wanted)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from values_of_fields(each, wanted)


def record_groups(value: Any) -> tuple[tuple[Any, ...], ...]:
    """Split a result into groups of records that stand beside one another."""
    if isinstance(value, list | tuple):
        return (tuple(value),)
    if not isinstance(value, Mapping):
        return () if value is None else ((value,),)
    lists = [
        tuple(each)
        for each in value.values()
        if isinstance(each, list | tuple) and any(isinstance(item, Mapping) for item in each)
    ]
    rest = {
        key: each
        for key, each in value.items()
        if not (isinstance(each, list | tuple) and any(isinstance(item, Mapping) for item in each))
    }
    return (*lists, (rest,)) if rest else tuple(lists)


def addresses_in(text: str) -> list[str]:
    """Links, e-mail addresses, and long numbers such as of accounts and telephones."""
    found = [each.rstrip(".,;:!?") for each in _ADDRESS.findall(text)]
    return list(dict.fromkeys(found + _LONG_NUMBER.findall(text)))


def shares_phrase(text: str, other: str, *, words: int = 5) -> bool:
    """Tell whether so many words in a row stand in both texts."""
    ours, theirs = _WORD.findall(_plain(text)), _WORD.findall(_plain(other))
    phrases = {tuple(theirs[place : place + words]) for place in range(len(theirs) - words + 1)}
    return any(
        tuple(ours[place : place + words]) in phrases for place in range(len(ours) - words + 1)
    )


def sentence_pairs(text: str) -> list[str]:
    """Each sentence or line of a text together with the next one."""
    parts = [each for each in _SENTENCE_END.split(text) if each.strip()]
    return [" ".join(parts[place : place + 2]) for place in range(len(parts))]


def _pinned(group: Sequence[Any], lookup: Lookup, request: TrustedTexts) -> list[Any]:
    """The records of a group that the request alone tells apart."""
    if len(group) == 1 and (lookup.is_asked or not lookup.has_arguments):
        return list(group)
    mentioned = [
        {each for each in leaves(record) if _tells(each) and request.holds(each)}
        for record in group
    ]
    found = _with_own(group, mentioned)
    if found:
        return found
    named = [
        record
        for record in group
        if any(isinstance(each, str) and request.shares_word(each) for each in leaves(record))
    ]
    return named if len(named) == 1 else []


def _with_own(group: Sequence[Any], mentioned: Sequence[set[Scalar]]) -> list[Any]:
    """Records with a mentioned value that no other record of the group has."""
    found = []
    for place, (record, own) in enumerate(zip(group, mentioned, strict=True)):
        others: set[Scalar] = set().union(
            *(each for other, each in enumerate(mentioned) if other != place)
        )
        if own - others:
            found.append(record)
    return found


def _tells(value: Scalar) -> bool:
    """Whether a value is telling enough to pin a record down; `5` and `no` are not."""
    if isinstance(value, bool):
        return False
    return len(str(value).strip()) >= _SHORT_WORD


def _forms(value: Scalar) -> set[str | Decimal]:
    """A value as it is compared: its words, and its number where it is one."""
    number = _decimal(value)
    forms: set[str | Decimal] = {_plain(str(value))}
    return forms if number is None else forms | {number}


def _is_short_number(value: str) -> bool:
    return value.strip().isdigit() and len(value.strip()) < _SHORT_NUMBER


def _plain(text: str) -> str:
    return _SPACE.sub(" ", text.casefold()).strip()


def _decimal(value: object) -> Decimal | None:
    if isinstance(value, bool):
        return None
    try:
        number = Decimal(str(value).replace(",", ""))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
