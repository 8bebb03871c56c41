"""Finds promises that nothing stands behind, and what an agent's file forbids to say."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from fleet_workers.rails.amounts import known_amounts, readings
from fleet_workers.rails.deeds import Deeds, sentences
from fleet_workers.rails.named_days import days_named, known_days


class Promise(StrEnum):
    """What can be promised. `date` is any time by which something will have happened."""

    REFUND = "refund"
    CREDIT = "credit"
    DISCOUNT = "discount"
    DATE = "date"
    GUARANTEE = "guarantee"


@dataclass(frozen=True, slots=True, kw_only=True)
class SayingRule:
    """A saying that is forbidden unless a write of one of `unless` succeeded in the task."""

    patterns: tuple[re.Pattern[str], ...]
    reason: str
    unless: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """What may stand behind a promise. `records` are what tools returned, `guidance` the prompt."""

    deeds: Deeds
    records: Sequence[str] = ()
    guidance: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerPolicy:
    """What an agent's file says of its answers."""

    forbidden: tuple[SayingRule, ...] = ()
    may_promise: frozenset[Promise] = field(default_factory=frozenset)


_WE_WILL: Final = (
    r"\b(?:I|we)(?:['’]ll|\s+will|\s+shall|\s+am\s+going\s+to|\s+are\s+going\s+to"  # noqa: RUF001
    r"|['’]m\s+going\s+to|['’]re\s+going\s+to)\s+(?!not\b|never\b)"  # noqa: RUF001
)
_WE_OFFER: Final = (
    r"\b(?:I|we)(?:['’]d|\s+can|\s+could|\s+would)\s+(?:(?:also|now|gladly|happily"  # noqa: RUF001
    r"|(?:like|be happy|be glad|be able) to)\s+)*(?:offer|give|apply|grant)\b"
)
_YOU_WILL: Final = r"\byou(?:['’]ll|\s+will|['’]re\s+going\s+to|\s+are\s+going\s+to)"  # noqa: RUF001
_YOU_GET: Final = r"\byou(?:['’]ll|\s+will)\s+(?:\w+\s+)?(?:receive|get|be\s+given|have|see)\b"  # noqa: RUF001
_GIVE: Final = (
    r"(?:\w+\s+){0,3}?(?:issue|process|give|send|offer|arrange|apply|grant|provide|initiate|add)\b"
)
_GIFTS: Final = {
    Promise.REFUND: (r"refunds?|money\s+back|reimbursements?", r"refund|reimburse"),
    Promise.CREDIT: (r"credits?(?!\s+(?:card|report|check))|compensation", r"credit|compensate"),
    Promise.DISCOUNT: (
        r"discounts?|vouchers?|coupons?|\d+\s?%\s+off|free\s+months?|months?\s+free|gift\s+cards?",
        r"discount|waive",
    ),
}
_ALSO: Final = {
    Promise.REFUND: (
        r"|\byour\s+(?:money|payment|refund)\b[^.?!\n]{0,30}?\b(?:will|is\s+going\s+to)\s+be\s+"
        r"(?:\w+\s+)?(?:refunded|returned|processed|issued|credited|paid)\b"
        rf"|{_WE_WILL}(?:make\s+sure|see\s+to\s+it|ensure)[^.?!\n]{{0,30}}?\b(?:money|payment)\b"
        r"[^.?!\n]{0,20}?\b(?:refunded|returned|back|paid)\b"
    ),
    Promise.DISCOUNT: r"|\b(?:is|are|will\s+be)\s+on\s+(?:us|the\s+house)\b",
}
_GIFT_PATTERNS: Final = {
    promise: re.compile(
        rf"{_WE_WILL}(?:\w+\s+){{0,3}}?(?:{verb})\b(?!\s+cards?\b)"
        rf"|(?:{_WE_WILL}{_GIVE}|{_WE_OFFER}|{_YOU_GET})(?P<between>[^.?!\n]{{0,40}}?)\b(?:{noun})\b"
        rf"|{_YOU_WILL}\s+be\s+(?:\w+\s+)?(?:{verb})e?d\b" + _ALSO.get(promise, ""),
        re.IGNORECASE,
    )
    for promise, (noun, verb) in _GIFTS.items()
}
_DENIED: Final = re.compile(
    r"\b(?:no|not|notice|about|information|details|update|status|e-?mail)\b"
)
_COUNT: Final = (
    r"(?:\d+|an?|one|two|three|four|five|six|seven|ten|twelve|(?:a )?few|(?:a )?couple of)"
)
_SPAN: Final = (
    rf"(?:within|in|after|takes?)\s+(?:the\s+next\s+|about\s+|around\s+|up\s+to\s+|at\s+most\s+"
    rf"|less\s+than\s+)?{_COUNT}(?:\s?(?:-|\u2013|to|or)\s?\d+)?\s*(?:more\s+)?"
    r"(?:(?:business|working|calendar)\s+)?(?P<unit>minute|hour|day|week|month)s?"
)
_MOMENT: Final = (
    rf"{_SPAN}|\b(?:today|tonight|tomorrow)\b|(?:by|at|before)\s+the\s+end\s+of\s+(?:the|this|next)\s+"
    r"(?:day|week|month)|\b(?:next|this)\s+(?:week|month)\b"
    r"|(?:by|on|before|until|next|this)\s+(?:the\s+)?(?:mon|tues|wednes|thurs|fri|satur|sun)day\b"
    r"|(?:by|on|before|until)\s+(?:the\s+)?(?:\d{4}-\d{2}-\d{2}|\d{1,2}[./]\d{1,2}[./]\d{2,4}"
    r"|\d{1,2}(?:st|nd|rd|th)?\s+(?:of\s+)?[A-Z][a-z]{2,8}|[A-Z][a-z]{2,8}\s+\d{1,2})"
)
_HAPPENS: Final = (
    r"(?:arrive|receive|get|reach|deliver(?:ed)?|ship(?:ped)?|dispatch(?:ed)?|fix(?:ed)?"
    r"|resolved?|solved?|over|back|restored?|ready|completed?|process(?:ed)?|refund(?:ed)?"
    r"|credit(?:ed)?|appear|available|hear\s+from|contact(?:ed)?|reply|respond|call|sent|send)"
)
_DATE: Final = re.compile(
    r"(?:(?:\bwill\b|['’]ll\b|\bgoing\s+to\b)(?!\s+(?:not|never)\b)[^.?!\n]{0,60}?"  # noqa: RUF001
    rf"\b{_HAPPENS}\b|(?<!not )\bexpect\b)[^.?!\n]{{0,60}}?(?P<moment>{_MOMENT})",
    re.IGNORECASE,
)
_GUARANTEE: Final = re.compile(
    r"\b(?:I|we)\s+(?:(?:can|do|will|hereby|personally|fully)\s+)*(?:guarantee|promise)\b"
    r"|\b(?:is|are)\s+(?:\w+\s+)?guaranteed\b|\byou\s+have\s+(?:my|our)\s+word\b",
    re.IGNORECASE,
)
_CONDITION: Final = re.compile(
    r"\b(?:if|unless|whether|eligible|in case|should you|may|might|cannot|never)\b|n['’]t\b",  # noqa: RUF001
    re.IGNORECASE,
)


def unbacked_promises(
    answer: str, grounds: Grounds, allowed: Iterable[Promise] = ()
) -> list[tuple[Promise, str]]:
    """Promises that nothing confirms, each with its words.

    A refund or a credit needs a write of that kind in this task, a discount one or a record that
    speaks of it, a time must stand in a record or in the agent's instructions; a guarantee is
    confirmed by nothing. What is said to depend on something is no promise. Only English is
    understood.
    """
    allowed = frozenset(allowed)
    found = []
    for sentence in sentences(answer):
        for promise, start, said in _promises_in(sentence):
            if promise in allowed or _CONDITION.search(sentence[:start]):
                continue
            if not _is_backed(promise, said, grounds):
                found.append((promise, said))
    return list(dict.fromkeys(found))


def broken_rules(
    answer: str, rules: Iterable[SayingRule], tools_done: frozenset[str]
) -> list[tuple[str, str]]:
    """Reason and words of each rule of the agent's file that the answer breaks."""
    found = []
    for rule in rules:
        if rule.unless & tools_done:
            continue
        for pattern in rule.patterns:
            if match := pattern.search(answer):
                found.append((rule.reason, match.group()))
                break
    return found


def _promises_in(sentence: str) -> Iterator[tuple[Promise, int, str]]:
    for promise, pattern in _GIFT_PATTERNS.items():
        for match in pattern.finditer(sentence):
            if not _DENIED.search((match["between"] or "").lower()):
                yield promise, match.start(), match.group()
    for match in _DATE.finditer(sentence):
        yield Promise.DATE, match.start(), match.group()
    for match in _GUARANTEE.finditer(sentence):
        yield Promise.GUARANTEE, match.start(), match.group()


def _is_backed(promise: Promise, said: str, grounds: Grounds) -> bool:
    if promise is Promise.GUARANTEE:
        return False
    if promise is Promise.DATE:
        return _is_known_time(said, [*grounds.records, *grounds.guidance])
    if grounds.deeds.include(str(promise)):
        return True
    return promise is Promise.DISCOUNT and grounds.deeds.are_recorded(str(promise))


def _is_known_time(said: str, texts: Sequence[str]) -> bool:
    """Whether the time stands there: the same day, or the same number of the same unit."""
    named = days_named(said)
    if named:
        known = known_days(texts)
        return all(known.hold(each) for each in named)
    match = _DATE.search(said)
    moment = match["moment"] if match else said
    joined = " ".join(texts).lower()
    if match is None or not match["unit"]:
        return moment.lower() in joined
    numbers = frozenset().union(*(readings(each) for each in re.findall(r"\d+", moment)))
    known_numbers = known_amounts(texts).numbers
    spelled = moment.lower() in joined
    return spelled or (bool(numbers) and numbers <= known_numbers and match["unit"] in joined)
