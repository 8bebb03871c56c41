"""Reads from the journal what people have decided about a call."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fleet_contracts.outcome import ReviewKind
from fleet_workers.review.decisions import DECISION_STEP, Ruling
from fleet_workers.store.journal import Step, StepKind

USED_STEP = "decision_used"
"""Name of the step that says that a decision has been acted on, and allows nothing more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruled:
    """What a person said, and in which review."""

    review: str
    ruling: Ruling
    text: str


def ruling_on(steps: Sequence[Step], kind: ReviewKind, key: Mapping[str, Any]) -> Ruled | None:
    """The last decision of this kind about exactly this call that has not been used up."""
    used = {
        (step.result or {}).get("review")
        for step in steps
        if step.kind is StepKind.REVIEW and step.name == USED_STEP
    }
    for step in reversed(steps):
        said = step.result or {}
        if (
            step.kind is StepKind.REVIEW
            and step.name == DECISION_STEP
            and said.get("kind") == kind
            and said.get("review") not in used
            and all(said.get(name) == value for name, value in key.items())
        ):
            return Ruled(
                review=said["review"], ruling=Ruling(said["ruling"]), text=str(said["text"])
            )
    return None
