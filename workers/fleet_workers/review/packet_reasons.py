"""Tells in words what stopped a task: each gate, each check of an answer, each doubt."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from fleet_workers.review.likeness import content_words
from fleet_workers.review.wording import sentence, title_of

_WORDS_SHARED: Final = 2
_SHARE_OF_LINE: Final = 1 / 3
"""More than this of a line must be touched: two words of a long line say little."""
_MOST_LINES: Final = 3
_CHECKS: Final = {
    "budget": "Number of calls",
    "grant": "Rights",
    "customer": "Whose data",
    "repeat": "Done before",
    "grounding": "Where its values come from",
    "plan_lock": "After reading texts of others",
    "approval": "Approval",
    "spend": "Money",
    "person": "A person's word",
    "leaks": "Leaks",
    "shape": "Form of the answer",
    "claims": "Claims of the answer",
    "deeds": "Deeds that the answer speaks of",
    "promises": "Promises of the answer",
}


def because(
    reason: str, gates: Sequence[Mapping[str, Any]], evidence: Mapping[str, Any]
) -> list[dict[str, str]]:
    """Each verdict that stopped the task: `check` names who gave it, `why` is a sentence.

    Where no check has spoken, the reason itself stands alone, and nobody is named.
    """
    found = [*_verdicts(gates, "gate"), *_verdicts(_rows(evidence.get("outbound")), "check")]
    found += [
        {"check": "Confidence", "why": sentence(str(each))} for each in _texts(evidence, "reasons")
    ]
    told = list({(each["check"], each["why"]): each for each in found}.values())
    return told or [{"check": "", "why": sentence(reason)}]


def never_lines(never: Sequence[str], request: str, reason: str) -> list[str]:
    """Lines of the agent's boundary that the request, or the reason to stop, seems to touch.

    A line counts that shares at least two words of content and a good part of its own with them;
    the nearest come first.
    """
    about = content_words(f"{request} {reason}")
    near = []
    for line in never:
        words = content_words(line)
        shared = len(words & about)
        if shared >= _WORDS_SHARED and shared > _SHARE_OF_LINE * len(words):
            near.append((shared, line))
    return [line for _, line in sorted(near, key=lambda each: -each[0])[:_MOST_LINES]]


def _verdicts(rows: Sequence[Mapping[str, Any]], by: str) -> Iterator[dict[str, str]]:
    for row in rows:
        reason = str(row.get("reason") or "")
        if row.get("ruling") != "pass" and reason:
            name = str(row.get(by, ""))
            yield {"check": _CHECKS.get(name) or title_of(name), "why": sentence(reason)}


def _rows(value: object) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def _texts(evidence: Mapping[str, Any], name: str) -> list[str]:
    found = evidence.get(name)
    return [str(each) for each in found] if isinstance(found, list | tuple) else []
