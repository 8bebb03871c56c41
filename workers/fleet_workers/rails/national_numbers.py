"""Finds the numbers that countries give to persons, by their forms and check digits."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from fleet_workers.rails import check_digits
from fleet_workers.rails.phone_numbers import is_called_otherwise
from fleet_workers.rails.value_bounds import END, START, before, plain


def find_national_numbers(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each number."""
    for form in _NATIONAL:
        for match in form.pattern.finditer(text):
            words = before(text, match.start())
            named = form.named is None or form.named.search(words)
            other = not form.sure and is_called_otherwise(words)
            if named and not other and form.check(plain(match.group())):
                yield match.span()


@dataclass(frozen=True, slots=True, kw_only=True)
class _National:
    """A country's number. One whose form alone says little must be `named` before it.

    One that is not `sure` is none where the word before calls it an order or the like.
    """

    pattern: re.Pattern[str]
    check: Callable[[str], bool]
    named: re.Pattern[str] | None = None
    sure: bool = True


def _form(
    pattern: str, check: Callable[[str], bool], named: str | None = None, *, sure: bool = True
) -> _National:
    return _National(
        pattern=re.compile(rf"{START}{_NO_CODE}(?:{pattern}){END}", re.IGNORECASE),
        check=check,
        named=re.compile(rf"(?<![a-z])(?:{named})(?![a-z])", re.IGNORECASE) if named else None,
        sure=sure,
    )


_NO_CODE: Final = r"(?<!\+\d[ -])(?<!\+\d\d[ -])(?<!\+\d{3}[ -])"
_NATIONAL: Final = (
    _form(r"\d{9}", check_digits.passes_luhn, r"sin|social insurance"),
    _form(r"[2-9]\d{11}", check_digits.passes_verhoeff, r"aadhaar|aadhar|uidai"),
    _form(r"\d{11}", check_digits.passes_brazilian, r"cpf"),
    _form(
        r"\d{3}\.?\d{3}\.?\d{3}|\d{4}\.\d\d\.\d{3}",
        check_digits.passes_dutch,
        r"bsn|burgerservicenummer",
    ),
    _form(r"\d{11}", check_digits.passes_polish, r"pesel"),
    _form(
        r"\d\d ?\d{3} ?\d{3} ?\d{3}",
        check_digits.passes_german,
        r"steuer-?id\w*|steuer\w*nummer|idnr|tax id\w*",
    ),
    _form(r"\d\d\.?\d{3}\.?\d{3}[ -]?[A-Z]", check_digits.passes_spanish),
    _form(r"[XYZ][ -]?\d{7}[ -]?[A-Z]", check_digits.passes_spanish),
    _form(r"[A-Z]{6}\d\d[A-EHLMPRST]\d\d[A-Z]\d{3}[A-Z]", check_digits.passes_italian),
    _form(
        r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d\d ?\d\d ?\d\d ?[A-D]", lambda _: True, sure=False
    ),  # the British number has no check digit
    _form(r"\d{3}\.\d{3}\.\d{3}-\d\d", check_digits.passes_brazilian),
    _form(
        r"[12] ?\d\d ?(?:0[1-9]|1[0-2]) ?\d\d ?\d{3} ?\d{3} ?\d\d",
        check_digits.passes_french,
        sure=False,
    ),
    _form(
        r"(?:0[1-9]|[12]\d|3[01])(?:0[1-9]|1[0-2])\d\d[-+A]\d{3}[0-9A-Y]",
        check_digits.passes_finnish,
    ),
    _form(
        r"(?:19|20)?\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])[-+]\d{4}",
        lambda number: check_digits.passes_luhn(number[-10:]),
    ),
    _form(r"[2-9]\d{3}([ -])\d{4}\1\d{4}", check_digits.passes_verhoeff),
    _form(r"[1-9]\d\d([ -])\d{3}\1\d{3}", check_digits.passes_luhn),
)
