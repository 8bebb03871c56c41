"""Finds amounts and identifiers in an answer that stand in nothing the agent has seen."""

import re
from collections.abc import Iterable
from decimal import Decimal

_MONEY = re.compile(r"(?:[$€£]|\b(?:USD|EUR|GBP)\s?)\s?(\d[\d,]*(?:\.\d+)?)")
_IDENTIFIER = re.compile(r"\b[A-Za-z]{2,}[_-][A-Za-z0-9_-]*\d[A-Za-z0-9_-]*\b")
_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")


def ungrounded_claims(answer: str, *, known: Iterable[str]) -> list[str]:
    """Amounts of money and identifiers of the answer that occur nowhere in `known`."""
    sources = "\n".join(known)
    numbers = {_value(number) for number in _NUMBER.findall(sources)}
    lowered = sources.lower()
    loose = [
        match.group(0).strip()
        for match in _MONEY.finditer(answer)
        if _value(match[1]) not in numbers
    ]
    loose += [word for word in _IDENTIFIER.findall(answer) if word.lower() not in lowered]
    return list(dict.fromkeys(loose))


def _value(number: str) -> Decimal:
    return Decimal(number.replace(",", "").rstrip(".") or "0")
