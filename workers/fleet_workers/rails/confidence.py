"""How sure the fleet is of an answer: what the model states, lowered by what speaks against it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

UNSTATED: Final = 0.6
"""Confidence of a model that states none: under the default threshold, so a person looks."""

_UNGROUNDED: Final = 0.5
_FAILED_CALL: Final = 0.7
_SUSPICIOUS: Final = 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known about an answer. `stated` is the model's own probability, 0 to 1."""

    stated: float | None
    ungrounded: Sequence[str]
    failed_last_call: bool
    suspicious: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """A score from 0 to 1 and, in plain words, everything that lowered it."""

    stated: float | None
    score: float
    reasons: tuple[str, ...]

    def as_record(self) -> dict[str, Any]:
        """The journal's form."""
        return {"stated": self.stated, "score": self.score, "reasons": list(self.reasons)}


def assess(evidence: Evidence) -> Assessment:
    """Multiply what was stated by a factor for each doubt; the factors are set by judgement."""
    score = UNSTATED if evidence.stated is None else evidence.stated
    reasons = ["the model stated no confidence"] if evidence.stated is None else []
    if evidence.ungrounded:
        score *= _UNGROUNDED
        reasons.append(f"nothing looked up supports {', '.join(evidence.ungrounded)}")
    if evidence.failed_last_call:
        score *= _FAILED_CALL
        reasons.append("the last tool call failed")
    if evidence.suspicious:
        score *= _SUSPICIOUS
        reasons.append("the request shows signs of manipulation")
    return Assessment(stated=evidence.stated, score=round(score, 4), reasons=tuple(reasons))
