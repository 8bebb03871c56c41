"""Finds telephone numbers: written internationally, in a country's own form, or named as one."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from phonenumbers import (
    NumberParseException,
    is_valid_number,
    parse,
)

REGIONS: Final = (
    *("US", "GB", "DE", "FR", "ES", "IT", "NL", "BE", "AT", "CH", "IE", "SE", "PL", "PT"),
    *("IN", "AU", "NZ", "ZA", "BR", "JP", "RU"),
)
"""Countries whose own forms are known where no country code is written."""

_CANDIDATE: Final = re.compile(
    r"(?<![\w+$€£#])(?<!\d[.,/-])(?:\+ ?)?(?:\(\+?\d{1,5}\)|\d)"
    r"(?:[\s()./-]{0,3}\d){4,18}(?![\w%€]|[.,/:-]\d)"
)
_NORTH_AMERICAN: Final = re.compile(
    r"(?:1[-. ]?)?(?:\([2-9]\d\d\)[-. ]?|[2-9]\d\d[-. ])[2-9]\d\d[-. ]\d{4}"
)
_MOBILE_GROUPS: Final = re.compile(
    r"[67]\d\d(?: \d{3}){2}|[67]\d\d(?: \d\d){3}|[6-9]\d{4} \d{5}|3\d\d[ -]\d{3}[ -]?\d{4}"
)
_OTHER_FORM: Final = re.compile(
    r"(?:\d{4}[-./]\d{1,2}[-./]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./]\d{4})\b"
    r"|\d+\.\d+$"  # dates and fractions
)
_BOOK: Final = re.compile(r"\d-\d+-\d+-\d|97[89]-\d-\d+-\d+-\d")
_GAP: Final = re.compile(r"(?<=\d)[^\d]+")
_GAP_BEFORE_GROUP: Final = re.compile(r"(?<=\d)[^\d]+(?=\d\d)")
_NAMED_BEFORE: Final = re.compile(
    r"(?<![a-z])(?:(?:tele|cell|mobile|smart)?phones?|phoned?|mobile|cell|tel|call(?:ed|ing)?|text"
    r"|whats ?app|sms|fax|ph|tlf|contact(?: number| no\.?)?|reach(?:able)?|dial|ring"
    r"|my (?:new |old |current |other |own )?number|handy(?:nummer)?|rufnummer|telefon\w*"
    r"|t[eé]l[eé]phone|tel[eé]fono|m[oó]vil|portable|celular|cellulare|telefoon)(?![a-z])",
    re.IGNORECASE,
)
_NAMED_AFTER: Final = re.compile(
    r"^[\s)\"',]{0,3}(?:is|as|\()\s?(?:(?:our|her|his|their|the|my(?! number))\s)?(?:\w+\s)?"
    r"(?:(?:cell|mobile|tele)?phone|mobile|cell|(?:my|contact) number|number to (?:call|reach))\b",
    re.IGNORECASE,
)
_OTHER_NUMBER: Final = re.compile(
    r"(?<![a-z])(?:orders?|purchases?|invoices?|tickets?|ref(?:erence)?|ids?|tracking|case"
    r"|transactions?|booking|account|policy|product|item|sku|serial|parcel|shipment|confirmation"
    r"|amount|code|pin|imei|isbn|iban|card|contract|customer (?:no|number)|bill)(?![a-z])",
    re.IGNORECASE,
)
_SUFFIX: Final = r"(?:[ _-]?(?:number|no\.?|nr\.?|id|code|#))"
_CALLED: Final = re.compile(
    r"(?<![a-z])(?:(?:orders?|purchases?|invoices?|tickets?|ref(?:erence)?|tracking|transactions?"
    rf"|booking|sku|serial|imei|isbn){_SUFFIX}?"
    r"|(?:case|policy|product|item|parcel|shipment|confirmation|contract|bill)"
    rf"(?:{_SUFFIX}| ?[:#]))"
    r"\"?[ \t]*(?:is|was|:|=)?[ \t]*[\"'(\[#]*$",
    re.IGNORECASE,
)
_WINDOW: Final = 40
_FEWEST_DIGITS: Final = 7
_MOST_GROUPS: Final = 7
_MOST_DIGITS: Final = 15  # ITU-T E.164
_FEWEST_WITHOUT_CODE: Final = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class _Written:
    """A candidate as it stands, and what the words around it call it."""

    text: str
    named: bool
    other: bool

    @property
    def digits(self) -> str:
        return "".join(each for each in self.text if each.isdigit())

    @property
    def grouped(self) -> bool:
        return not self.text.isdigit()


def find_phone_numbers(text: str, *, regions: Iterable[str] = REGIONS) -> Iterator[tuple[int, int]]:
    """Start and end of each number. Bare digits count only where the words around say so.

    A number in a country's own form must be a valid one of `regions` (codes of ISO 3166) by
    Google's libphonenumber, or North American. One after a plus ends where it is valid, and if
    it nowhere is, where its digits end: rather too much is found than half of it.
    """
    known = tuple(regions)
    at = 0
    while candidate := _CANDIDATE.search(text, at):
        start = candidate.start()
        at = _next_group(candidate)
        if not _BOOK.fullmatch(candidate.group()):
            until = _end_of_number(text, candidate, known)
            if until is not None:
                yield start, start + until
                at = start + until


def is_called_otherwise(before: str) -> bool:
    """Whether the word just before a number calls it an order, an invoice or the like."""
    return _CALLED.search(before[-_WINDOW:]) is not None


def _end_of_number(text: str, candidate: re.Match[str], regions: tuple[str, ...]) -> int | None:
    """How long the number is that the candidate begins with, if it is one."""
    start, end = candidate.span()
    ends = _ends(candidate.group())
    for until in ends:
        if _is_phone_number(_read(text, start, start + until, end), regions):
            return until
    if not candidate.group().lstrip("(").startswith("+"):
        return None
    return next((each for each in ends if _may_be_one(candidate.group()[:each])), None)


def _may_be_one(text: str) -> bool:
    """Whether its length is one that a number with a country code, of any age, can have."""
    return _FEWEST_DIGITS < sum(map(str.isdigit, text)) <= _MOST_DIGITS


def _ends(candidate: str) -> list[int]:
    """Where the number may end, longest first: what follows may be a number of its own."""
    gaps = [each.start() for each in _GAP.finditer(candidate)]
    ends = [*gaps, len(candidate)][:_MOST_GROUPS]
    return [each for each in reversed(ends) if each >= _FEWEST_DIGITS]


def _next_group(candidate: re.Match[str]) -> int:
    """Where to look on if no number starts here: one may start with the next group."""
    gap = _GAP_BEFORE_GROUP.search(candidate.group())
    return candidate.start() + gap.end() if gap else candidate.end()


def _read(text: str, start: int, until: int, end: int) -> _Written:
    before = text[max(0, start - _WINDOW) : start]
    named, other = _last(_NAMED_BEFORE, before), _last(_OTHER_NUMBER, before)
    called = _CALLED.search(before) is not None
    after = until == end and _NAMED_AFTER.match(text[end : end + _WINDOW]) is not None
    return _Written(
        text=text[start:until], named=named > other or (after and not called), other=called
    )


def _is_phone_number(written: _Written, regions: tuple[str, ...]) -> bool:
    digits = len(written.digits)
    code = re.match(r"\(?\+|00", written.text)
    if code and (code.group() != "00" or written.grouped or written.named):
        return _valid_abroad(written.text, after_zeros=code.group() == "00")
    if not _FEWEST_DIGITS <= digits <= _MOST_DIGITS or _OTHER_FORM.match(written.text):
        return False
    return written.named or (
        written.grouped and not written.other and _in_own_form(written.text, digits, regions)
    )


def _in_own_form(text: str, digits: int, regions: tuple[str, ...]) -> bool:
    """Whether it is grouped as in North America, or begins as numbers elsewhere do and is valid."""
    if _NORTH_AMERICAN.fullmatch(text):
        return True
    begins = text[0] == "0" or "(" in text or _MOBILE_GROUPS.fullmatch(text) is not None
    enough = digits >= _FEWEST_WITHOUT_CODE
    return begins and enough and _valid_somewhere(text, regions)


def _valid_abroad(text: str, *, after_zeros: bool) -> bool:
    digits = "".join(each for each in text.replace("(0)", "") if each.isdigit())
    return _valid("+" + (digits[2:] if after_zeros else digits), None)


@lru_cache(maxsize=1024)
def _valid_somewhere(text: str, regions: tuple[str, ...]) -> bool:
    return any(_valid(text, region) for region in regions)


def _valid(text: str, region: str | None) -> bool:
    try:
        return is_valid_number(parse(text, region))
    except NumberParseException:
        return False


def _last(pattern: re.Pattern[str], window: str) -> int:
    return max((each.end() for each in pattern.finditer(window)), default=-1)
