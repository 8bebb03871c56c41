"""Finds claims of an answer that stand in nothing the agent has seen."""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from typing import Final

from fleet_workers.rails.amounts import known_amounts, money_in, percentages_in
from fleet_workers.rails.named_days import days_named, known_days
from fleet_workers.rails.personal_values import Kind, find_personal_values

_LINK: Final = re.compile(
    r"(?:https?://|www\.)[^\s<>\"'`)\]]+"
    r"|(?<![\w@.-])(?:[a-z0-9-]+\.)+(?:com|net|org|io|co|app|dev|info|biz|eu|uk|de|fr|example)\b"
    r"(?:/[^\s<>\"'`)\]]*)?",
    re.IGNORECASE,
)
_EMAIL: Final = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_PREFIXED: Final = re.compile(r"\b[A-Za-z]{2,}[_-][A-Za-z0-9_-]*\d[A-Za-z0-9_-]*\b")
_STANDARD: Final = re.compile(
    r"(?:utf|iso|sha|aes|rsa|rfc|covid|mid|pre|post|top|usb|wi-?fi|ipv|tls|http|level|tier|step"
    r"|phase|part|one|two|three|four|five|six|seven|eight|nine|ten|twenty|thirty|forty|fifty)"
    r"[_-]\d+",
    re.IGNORECASE,
)
_NAMED: Final = re.compile(
    r"\b(?:order|invoice|ticket|tracking|reference|case|confirmation|booking|parcel|shipment"
    r"|payment|transaction|refund|account|incident|receipt|bill|purchase|customer)s?\s*"
    r"(?:(?:number|no\.?|nr\.?|id|code|#)\s*(?:is|:|was)?\s*#?|#)\s*[\"'(]?"
    r"(?P<id>(?=[\w-]*\d)[A-Za-z0-9][\w-]{2,})",
    re.IGNORECASE,
)
_HASHED: Final = re.compile(r"(?<![\w&/])#(?=\w*\d)(\w{3,})\b")
_LONG: Final = re.compile(r"(?<![\w.,@/+-])\d{6,}(?![\w@]|[.,]\d)")
_FEWEST_DIGITS: Final = 7
_MOST_OF_CODE: Final = 3
_MIXED: Final = re.compile(
    r"(?<![\w@./-])(?=[A-Z0-9]*[A-Z])(?=(?:[A-Z]*\d){2})[A-Z0-9]{6,}(?![\w@])"
)


def ungrounded_claims(
    answer: str,
    *,
    known: Iterable[str],
    asked: Iterable[str] = (),
    guidance: Iterable[str] = (),
    today: date | None = None,
) -> list[str]:
    """Claims of the answer that stand nowhere, as they are written there.

    Claims are sums of money, percentages, dates and weekdays, ids and numbers of orders and the
    like, links, e-mail addresses and telephone numbers. They may stand in `known` (what tools
    returned), in `asked` (what the request says) and, but for ids and days, in `guidance`, the
    agent's instructions: examples there are not about this customer. Sums of two or three known
    amounts count as known.
    """
    asked, records = list(asked), list(known)
    seen, guided = [*records, *asked], [*records, *asked, *guidance]
    amounts = known_amounts(guided)
    days = known_days(records, asked, today)
    loose = [each.text for each in money_in(answer) if not amounts.hold(each)]
    loose += [each.text for each in percentages_in(answer) if not amounts.hold_number(each)]
    loose += [each for each in days_named(answer) if not days.hold(each)]
    loose += _loose_addresses(answer, guided)
    loose += _loose_ids(answer, seen)
    return list(dict.fromkeys(loose))


def significant_digits(phone_number: str) -> str:
    """What stays the same of a number with and without the codes of a country and a trunk."""
    digits = re.sub(r"\D", "", phone_number).lstrip("0")
    return digits[-max(_FEWEST_DIGITS, len(digits) - _MOST_OF_CODE) :]


def _loose_addresses(answer: str, texts: Sequence[str]) -> list[str]:
    everything = "\n".join(texts).lower()
    links = [match.group().rstrip(".,;:!?*_") for match in _LINK.finditer(_EMAIL.sub(" ", answer))]
    loose = [each for each in links if not _stands_in(each, everything)]
    loose += [
        each for each in map(_trimmed, _EMAIL.findall(answer)) if not _stands_in(each, everything)
    ]
    digits = re.sub(r"\D", "", re.sub(r"[^\w\n]", "", everything))
    for each in find_personal_values(answer):
        number = answer[each.start : each.end]
        if each.kind is Kind.PHONE and significant_digits(number) not in digits:
            loose.append(number)
    return loose


def _loose_ids(answer: str, texts: Sequence[str]) -> list[str]:
    everything = "\n".join(texts).lower()
    free = _EMAIL.sub(" ", _LINK.sub(" ", answer))
    return [each for each in _ids(free) if not _stands_in(each, everything)]


def _ids(text: str) -> Iterator[str]:
    for match in _PREFIXED.finditer(text):
        if not _STANDARD.fullmatch(match.group()):
            yield match.group()
    yield from (match["id"] for match in _NAMED.finditer(text))
    for pattern in (_HASHED, _LONG, _MIXED):
        yield from (match.group().lstrip("#") for match in pattern.finditer(text))


def _stands_in(value: str, lowered: str) -> bool:
    return re.search(rf"(?<![^\W_]){re.escape(value.lower())}(?![^\W_])", lowered) is not None


def _trimmed(address: str) -> str:
    return address.rstrip(".-_")
