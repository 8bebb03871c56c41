"""Finds personal data that has a form: addresses, card numbers, accounts, national numbers."""

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Final

from fleet_workers.rails import check_digits
from fleet_workers.rails.national_numbers import find_national_numbers
from fleet_workers.rails.phone_numbers import REGIONS, find_phone_numbers, is_called_otherwise
from fleet_workers.rails.value_bounds import END, START, before, plain

_Find = Callable[[str], Iterable[tuple[int, int]]]


class Kind(StrEnum):
    """What a value is; the name stands in its placeholder."""

    EMAIL = "email"
    IBAN = "iban"
    CARD_NUMBER = "card_number"
    SSN = "ssn"
    NATIONAL_ID = "national_id"
    IP_ADDRESS = "ip_address"
    BIRTH_DATE = "birth_date"
    PASSPORT = "passport"
    PHONE = "phone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A value's place in the text: characters from `start` up to, not including, `end`."""

    kind: Kind
    start: int
    end: int


def find_personal_values(text: str, *, regions: Iterable[str] = REGIONS) -> list[Found]:
    """All values in their order, none within another; the surer reading of a place wins."""
    if not _ANYTHING.search(text):
        return []
    text = _ESCAPE.sub("  ", text).translate(_PLAIN_FORMS)
    found: list[Found] = []
    taken = bytearray(len(text))
    phones: _Find = partial(find_phone_numbers, regions=regions)
    for kind, find in (*_FINDERS, (Kind.PHONE, phones)):
        for start, end in find(text):
            if not any(taken[start:end]):
                taken[start:end] = b"x" * (end - start)
                found.append(Found(kind=kind, start=start, end=end))
    return sorted(found, key=lambda each: each.start)


def _emails(text: str) -> Iterator[tuple[int, int]]:
    for pattern in (_EMAIL, _SPELLED_EMAIL, _SPOKEN_EMAIL):
        for match in pattern.finditer(text):
            yield match.span()


def _ibans(text: str) -> Iterator[tuple[int, int]]:
    for match in _IBAN.finditer(text):
        length = _IBAN_LENGTHS.get(match[1].upper())
        end = _end_of(text, match.start(), length) if length else None
        if end and check_digits.passes_iban(plain(text[match.start() : end])):
            yield match.start(), end


def _end_of(text: str, start: int, length: int) -> int | None:
    """Where `length` letters and digits end from `start` on, if a word ends there."""
    seen = 0
    for at in range(start, len(text)):
        if text[at].isascii() and text[at].isalnum():
            seen += 1
        elif text[at] not in " -.\u00a0":
            return None
        if seen == length:
            whole = at + 1 == len(text) or not text[at + 1].isalnum()
            return at + 1 if whole else None
    return None


def _cards(text: str) -> Iterator[tuple[int, int]]:
    for match in _CARD.finditer(text):
        for start, end in _runs(match):
            number = plain(text[start:end])
            brand = _BRANDS.fullmatch(number) is not None
            if brand and check_digits.passes_luhn(number):
                bare = text[start:end].isdigit()
                if not (bare and is_called_otherwise(before(text, start))):
                    yield start, end
                    break


def _runs(match: re.Match[str]) -> Iterator[tuple[int, int]]:
    """The stretches of up to five groups that a card number may be, and all, longest first."""
    groups = [each.span() for each in re.finditer(r"\d+", match.group())]
    spans = [
        (match.start() + first[0], match.start() + last[1])
        for at, first in enumerate(groups)
        for last in groups[at : at + 5]
    ]
    spans.append(match.span())
    yield from sorted(spans, key=lambda span: span[0] - span[1])


def _social_security(text: str) -> Iterator[tuple[int, int]]:
    for match in _SSN.finditer(text):
        if not is_called_otherwise(before(text, match.start())):
            yield match.span()
    for match in _SSN_NAMED.finditer(text):
        yield match.span(1)


def _ip_addresses(text: str) -> Iterator[tuple[int, int]]:
    for match in _IP.finditer(text):
        if _is_ip(match.group()) and not _VERSION.search(before(text, match.start())):
            yield match.span()


def _is_ip(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return address.version == 4 or len(text.split(":")) > 3  # noqa: PLR2004 - "::1" tells nobody


def _named(pattern: re.Pattern[str]) -> Callable[[str], Iterator[tuple[int, int]]]:
    return lambda text: (match.span(1) for match in pattern.finditer(text))


_PLAIN_FORMS: Final[dict[int, str | int]] = {
    **dict.fromkeys(range(0x2010, 0x2014), "-"),
    **dict.fromkeys((0xA0, 0x2007, 0x2009, 0x202F, 0x3000), " "),
    **{wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)},
}  # one for one, so that places stay
_ESCAPE: Final = re.compile(r"\\[nrtbf]")  # JSON's line ends are no part of the word after them
_ANYTHING: Final = re.compile(r"\d|@|\bat\b", re.IGNORECASE)
_EMAIL: Final = re.compile(
    r"(?<!\w)\w(?:[\w.%+'-]{0,62}\w|[-_+])?@"
    r"(?:\w(?:[\w-]*\w)?\.)+[^\W\d_](?:[\w-]*[^\W_])"
)
_SPELLED_EMAIL: Final = re.compile(
    r"(?<![\w.])[\w.+-]{1,64}\s?(?:[\[({]\s?at\s?[\])}]|[\[({]@[\])}])\s?[\w-]+"
    r"(?:(?:\s?[\[({]\s?(?:dot|\.)\s?[\])}]\s?|\.)[\w-]+)+",
    re.IGNORECASE,
)
_SPOKEN_EMAIL: Final = re.compile(
    r"(?<![\w.])[\w.+-]{1,64} at [\w-]{1,63}(?: dot [\w-]{1,63}){0,3}"
    r" dot (?:com|org|net|edu|gov|info|io|co|eu|uk|de|fr|es|it|nl|in|us|ca|au|ch|at|se|pl|br)\b",
    re.IGNORECASE,
)
_IBAN: Final = re.compile(
    r"(?:(?<![^\W_])|(?<=iban))([A-Z]{2}) ?\d\d(?=[ .\u00a0-]?[A-Z0-9])", re.IGNORECASE
)
_IBAN_COUNTRIES: Final = {
    15: "NO",
    16: "BE",
    18: "DK FI FK FO GL NL SD",
    19: "MK SI",
    20: "AT BA EE KZ LT LU MN XK",
    21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA",
    23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST",
    26: "IS TR",
    27: "BI DJ FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HU LB NI PL SV",
    29: "BR EG PS QA UA",
    30: "JO KW MU YE",
    31: "MT SC",
    32: "LC",
    33: "RU",
}  # the registry of ISO 13616: letters and digits in all
_IBAN_LENGTHS: Final = {
    country: length
    for length, countries in _IBAN_COUNTRIES.items()
    for country in countries.split()
}
_CARD: Final = re.compile(
    rf"(?:{START}|(?<=visa)|(?<=card)|(?<=amex))\d(?:[ ._-]?\d){{11,30}}"
    r"(?:(?![^\W_])|(?=exp|cv[vc]))",
    re.IGNORECASE,
)
_BRANDS: Final = re.compile(
    r"4\d{12}(?:\d{3}){0,2}|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}"
    r"|3[47]\d{13}|3(?:0[0-5]|[689]\d)\d{11}|(?:6011|64[4-9]\d|65\d\d)\d{12,15}"
    r"|35(?:2[89]|[3-8]\d)\d{12,15}|62\d{14,17}|220[0-4]\d{12}|(?:60|81|82)\d{14}|508\d{13}"
    r"|(?:50|5[6-8]|6[37])\d{14,17}"
)
_SSN: Final = re.compile(START + r"(?!000|666|9)\d{3}([-. ])(?!00)\d\d\1(?!0000)\d{4}" + END)
_SSN_NAMED: Final = re.compile(
    r"(?:\bssn|\bsocial(?: security)?\b|\bitin|taxpayer id\w*)[^\d\n]{0,30}?"
    r"(\d{3}[-. ]?\d\d[-. ]?\d{4})" + END,
    re.IGNORECASE,
)
_IP: Final = re.compile(
    r"(?<!\w)(?<!\d\.)"
    r"(?:(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)"
    r"|[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){1,6}:(?:(?:\d{1,3}\.){3}\d{1,3}|[0-9a-f]{1,4})(?!\w|[:.]\w|::))",
    re.IGNORECASE,
)
_VERSION: Final = re.compile(
    r"(?:\bv|version|release|build|firmware|section|chapter|clause|driver|app)[\"':=\s#(]*$",
    re.IGNORECASE,
)
_MONTH: Final = (
    r"(?:jan|feb|m[aä]r|apr|ma[iy]|jun|jul|aug|sep|o[ck]t|nov|de[cz])[a-zäé]*\.?"  # first letters
)
_BIRTH_DATE: Final = re.compile(
    r"(?:date[ _-]?of[ _-]?birth|birth[ _-]?date|birthday|\bd\.?o\.?b\b|\bborn\b|\bgeb\."
    r"|geboren|geburtsdatum"
    r"|date de naissance|\bn[ée]e? le\b|fecha de nacimiento|data di nascita|data de nascimento)"
    r"[^\d\n]{0,20}?"
    r"(\d{4}[-./]\d{1,2}[-./]\d{1,2}|\d{1,2}\s?[-./]\s?\d{1,2}\s?[-./]\s?\d{2,4}"
    rf"|\d{{1,2}}(?:st|nd|rd|th|\.)?\s(?:of\s)?{_MONTH},?\s\d{{4}}"
    rf"|{_MONTH}\s\d{{1,2}}(?:st|nd|rd|th)?,?\s\d{{4}})(?!\d)",
    re.IGNORECASE,
)
_PASSPORT: Final = re.compile(
    r"(?:passport(?:'s)?|reisepass|passeport|pasaporte|passaporto)"
    r"(?:[ _-]?(?:no|number|num|nr|nummer|id))?"
    r"[\s\"':=#.(\[-]{0,6}(?:is\s|number\s|no\.?\s|:\s?)*[\"'(\[]?"
    r"((?=(?:[A-Z]*\d){3})[A-Z0-9]{6,10}|\d\d \d{3} \d{4})(?!\w)",
    re.IGNORECASE,
)
_FINDERS: Final[tuple[tuple[Kind, _Find], ...]] = (
    (Kind.EMAIL, _emails),
    (Kind.IBAN, _ibans),
    (Kind.BIRTH_DATE, _named(_BIRTH_DATE)),
    (Kind.PASSPORT, _named(_PASSPORT)),
    (Kind.IP_ADDRESS, _ip_addresses),
    (Kind.CARD_NUMBER, _cards),
    (Kind.SSN, _social_security),
    (Kind.NATIONAL_ID, find_national_numbers),
)
