"""Reads sums of money out of texts, however they are written, and tells which rest on which."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NamedTuple

_NUMBER: Final = r"\d{1,3}(?:[,.'’\u00a0\u202f ]\d{3})+(?:[.,]\d{1,2})?(?![\d])|\d+(?:[.,]\d+)?"  # noqa: RUF001
_SYMBOL: Final = r"(?:US|A|C|CA|AU|NZ|HK|R)?[$]|[€£¥₹₩₽₺₪]"
_CODE: Final = (
    "USD|EUR|GBP|CHF|CAD|AUD|NZD|JPY|CNY|INR|SEK|NOK|DKK|PLN|CZK|HUF|BRL|MXN|ZAR|SGD|HKD|TRY"
)
_NAME: Final = (
    r"(?:US |Canadian |Australian )?dollars?|bucks|euros?|pounds?(?: sterling)?|yen|yuan|rupees?"
    r"|francs?|pesos?|kron(?:or|er|e|a)|zloty|d[oó]lares|cents?|pence"
)
_SCALE: Final = r"(?:\s?(?P<{0}>k|thousand|m|mn|million|bn|billion)\b)?"
_BEFORE: Final = (
    rf"(?:{_SYMBOL}|\b(?:{_CODE}))\s?(?P<after>{_NUMBER}){_SCALE.format('scale_after')}"
)
_BEHIND: Final = (
    rf"(?<![\w.,])(?P<ahead>{_NUMBER}){_SCALE.format('scale_ahead')}[\s-]?"
    rf"(?:(?P<name>{_NAME})\b|(?:{_CODE})\b|[€£$¥₹])"
)
_SMALL: Final = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen"),
    "nineteen",
)
_ROUND: Final = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_UNITS: Final = {word: value for value, word in enumerate(_SMALL)}
_TENS: Final = {word: 10 * value for value, word in enumerate(_ROUND, start=2)}
_SPELLED: Final = "|".join([*_UNITS, *_TENS, "hundred", "thousand"])
_WORDS: Final = (
    rf"\b(?P<words>(?:{_SPELLED})(?:(?:[\s-]+|\s+and\s+)(?:{_SPELLED}))*)\s+(?P<of>{_NAME})\b"
)
_LABELLED: Final = (
    r"\b(?:amount|total|price|sum|balance|due|paid|refund(?:ed)?|credit(?:ed)?|fee|costs?|charged?)"
    rf"\b(?:(?!{_SYMBOL}|\b(?:{_CODE})\b)[^\d\n.]){{0,20}}?(?<![\w.,])"
    r"(?P<labelled>\d[\d,]*[.,]\d{2})(?![\d]|[.,]\d)"
)
_MONEY: Final = re.compile(rf"{_BEFORE}|{_BEHIND}|{_WORDS}|{_LABELLED}", re.IGNORECASE)
_PERCENT: Final = re.compile(
    r"(?<![\w.,])(\d+(?:[.,]\d+)?)\s?(?:%|(?:per ?cent|prozent|por ciento|pour ?cent)\b)",
    re.IGNORECASE,
)
_LOOSE: Final = re.compile(rf"(?<![\w])(?<![^\W\d]-)(?<!\d[.,])(?:{_NUMBER})(?![\w])")
_TIMES: Final = re.compile(
    r"\b\d{4}-\d{1,2}-\d{1,2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?)?Z?|\b\d{1,2}:\d{2}\b"
)
_KEYED: Final = re.compile(
    r'"\w*(?:amount|price|total|paid|due|balance|cost|fee|sum|usd|eur|gbp|refund|credit)\w*":\s*'
    r'"?-?(\d+(?:\.\d+)?)\b',
    re.IGNORECASE,
)
_MINOR: Final = re.compile(r'"\w*(?:cents|minor|pence)\w*":\s*"?-?(\d+)\b', re.IGNORECASE)
_SCALES: Final = {"k": 1_000, "t": 1_000, "m": 1_000_000, "b": 1_000_000_000}
_MOST_FOR_THREE: Final = 12  # beyond, sums of three meet any price by chance
_MOST_FOR_TWO: Final = 40


class Claim(NamedTuple):
    """A sum as it is written, and every number that it may be read as."""

    text: str
    values: frozenset[Decimal]


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownAmounts:
    """`numbers` are all that stand in the texts, `amounts` those that are sums of money."""

    numbers: frozenset[Decimal]
    amounts: frozenset[Decimal]

    def hold(self, claim: Claim) -> bool:
        """Tell whether a sum stands there, or is the sum of two or three that do."""
        if claim.values & (self.numbers | self.amounts):
            return True
        return any(_is_sum(value, self.amounts) for value in claim.values)

    def hold_number(self, claim: Claim) -> bool:
        """Tell whether a number stands there as it is."""
        return not claim.values.isdisjoint(self.numbers | self.amounts)


def money_in(text: str) -> list[Claim]:
    """Every sum of money: with a sign, a code or a name, in digits or words, or after `total`."""
    return [
        Claim(text=match.group().strip(), values=_value_of(match))
        for match in _MONEY.finditer(text)
    ]


def percentages_in(text: str) -> list[Claim]:
    """Every percentage but 0 and 100, which are figures of speech."""
    claims = [Claim(match.group(), readings(match[1])) for match in _PERCENT.finditer(text)]
    return [each for each in claims if each.values.isdisjoint({Decimal(0), Decimal(100)})]


def known_amounts(texts: Iterable[str]) -> KnownAmounts:
    """All numbers of texts, of which many are JSON; no part of a date, a time or an id is one."""
    numbers: set[Decimal] = set()
    amounts: set[Decimal] = set()
    for text in texts:
        for each in money_in(text):
            amounts |= each.values
        timeless = _TIMES.sub(" ", text)
        amounts |= {Decimal(each) for each in _KEYED.findall(timeless)}
        amounts |= {Decimal(each) / 100 for each in _MINOR.findall(timeless)}
        for each in _LOOSE.findall(timeless):
            found = readings(each)
            numbers |= found
            if re.search(r"[.,]\d\d$", each):
                amounts |= found
    return KnownAmounts(numbers=frozenset(numbers), amounts=frozenset(amounts))


def readings(number: str) -> frozenset[Decimal]:
    """What a number may mean: `1.250` is 1.25 or 1250, `1.250,00` only 1250."""
    plain = re.sub(r"[\s'’]", "", number)  # noqa: RUF001
    marks = [each for each in plain if each in ".,"]
    if not marks:
        return frozenset({Decimal(plain)})
    last = marks[-1]
    whole, _, part = plain.rpartition(last)
    as_decimal = Decimal(re.sub(r"[.,]", "", whole) + "." + part)
    as_thousands = Decimal(re.sub(r"[.,]", "", plain))
    if len(set(marks)) > 1:
        return frozenset({as_decimal})
    if len(marks) > 1:
        return frozenset({as_thousands})
    return frozenset({as_decimal, as_thousands} if len(part) == 3 else {as_decimal})  # noqa: PLR2004


def _value_of(match: re.Match[str]) -> frozenset[Decimal]:
    if match["words"]:
        return frozenset({_in_currency(Decimal(_spelled(match["words"])), match["of"])})
    number = match["after"] or match["ahead"] or match["labelled"]
    scale = match["scale_after"] or match["scale_ahead"]
    factor = _SCALES[scale[0].lower()] if scale else 1
    return frozenset(_in_currency(each * factor, match["name"]) for each in readings(number))


def _in_currency(value: Decimal, name: str | None) -> Decimal:
    return value / 100 if name and name.lower().startswith(("cent", "pence")) else value


def _spelled(words: str) -> int:
    whole = group = 0
    for word in re.findall(r"[a-z]+", words.lower()):
        if word == "hundred":
            group = (group or 1) * 100
        elif word == "thousand":
            whole, group = whole + (group or 1) * 1_000, 0
        else:
            group += _UNITS.get(word, _TENS.get(word, 0))
    return whole + group


def _is_sum(value: Decimal, amounts: frozenset[Decimal]) -> bool:
    parts = [each for each in amounts if 0 < each < value]
    if len(amounts) > _MOST_FOR_TWO:
        return False
    if any(value - each in amounts for each in parts):
        return True
    return len(amounts) <= _MOST_FOR_THREE and any(
        value - one - other in amounts for one, other in _pairs(parts) if one + other < value
    )


def _pairs(parts: list[Decimal]) -> Iterator[tuple[Decimal, Decimal]]:
    for at, one in enumerate(parts):
        for other in parts[at:]:
            yield one, other
