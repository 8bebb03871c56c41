"""Check digits of cards, accounts and national numbers: whether a number can be a real one."""

from collections.abc import Sequence
from typing import Final

_SPANISH: Final = "TRWAGMYFPDXBNJZSQVHLCKE"
_FINNISH: Final = "0123456789ABCDEFHJKLMNPRSTUVWXY"
_ITALIAN_ODD: Final = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16,
                       10, 22, 25, 24, 23)  # fmt: skip
_VERHOEFF_TURN: Final = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


def passes_luhn(number: str) -> bool:
    """ISO/IEC 7812-1, annex B: cards, and several countries' own numbers."""
    total = 0
    for place, digit in enumerate(reversed(_digits(number))):
        doubled = digit * 2 if place % 2 else digit
        total += doubled - 9 if doubled > 9 else doubled  # noqa: PLR2004 - the sum of its digits
    return total % 10 == 0


def passes_iban(number: str) -> bool:
    """ISO 13616: the rest of a division by 97 is 1, with letters counted from A = 10."""
    turned = number[4:] + number[:4]
    return int("".join(str(int(each, 36)) for each in turned)) % 97 == 1


def passes_spanish(number: str) -> bool:
    """DNI and NIE: the last letter stands for the rest of a division by 23."""
    first = {"X": "0", "Y": "1", "Z": "2"}
    return _SPANISH[int(first.get(number[0], number[0]) + number[1:-1]) % 23] == number[-1]


def passes_italian(number: str) -> bool:
    """Codice fiscale: the last letter is the sum of the others by their places, of 26."""
    worth = [int(each) if each.isdigit() else ord(each) - ord("A") for each in number[:-1]]
    total = sum(_ITALIAN_ODD[each] for each in worth[::2]) + sum(worth[1::2])
    return chr(ord("A") + total % 26) == number[-1]


def passes_brazilian(number: str) -> bool:
    """CPF: both last digits are weighted sums of those before, of 11."""
    digits = _digits(number)
    if len(set(digits)) == 1:
        return False
    return all(
        digits[length] == _weighted(digits[:length], range(length + 1, 1, -1)) * 10 % 11 % 10
        for length in (9, 10)
    )


def passes_french(number: str) -> bool:
    """NIR: the last two digits make 97 with the rest of the others' division by 97."""
    return (int(number[:-2]) + int(number[-2:])) % 97 == 0


def passes_finnish(number: str) -> bool:
    """Henkilötunnus: the last sign stands for the rest of a division by 31.

    The century's sign between date and number is left out.
    """
    return _FINNISH[int(number[:9]) % 31] == number[-1]


def passes_dutch(number: str) -> bool:
    """BSN: the weighted sum divides by 11; the last digit counts negative."""
    return _weighted(_digits(number), (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0


def passes_polish(number: str) -> bool:
    """PESEL: the weighted sum divides by 10."""
    return _weighted(_digits(number), (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)) % 10 == 0


def passes_german(number: str) -> bool:
    """Steuer-ID: ISO/IEC 7064, MOD 11,10."""
    product = 10
    for digit in _digits(number)[:-1]:
        product = ((digit + product) % 10 or 10) * 2 % 11
    return (11 - product) % 10 == int(number[-1])


def passes_verhoeff(number: str) -> bool:
    """Verhoeff's code over the dihedral group of order 10, as Aadhaar numbers have it."""
    check = 0
    for place, digit in enumerate(reversed(_digits(number))):
        turned = digit
        for _ in range(place % 8):
            turned = _VERHOEFF_TURN[turned]
        check = _dihedral(check, turned)
    return check == 0


def _dihedral(left: int, right: int) -> int:
    turned = (left + right) % 5 if left < 5 else (left - right) % 5  # noqa: PLR2004 - its half
    return turned + 5 * ((left >= 5) ^ (right >= 5))  # noqa: PLR2004 - as above


def _digits(number: str) -> list[int]:
    return [int(each) for each in number]


def _weighted(digits: Sequence[int], weights: Sequence[int]) -> int:
    return sum(digit * weight for digit, weight in zip(digits, weights, strict=True))
