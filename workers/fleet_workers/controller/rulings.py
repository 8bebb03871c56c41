"""Reads from the journal what people have decided about a call, and whether that still counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fleet_contracts.outcome import ReviewKind
from fleet_workers.review.binding import (
    DECISION_STEP,
    GO_ON,
    Ruling,
    arguments_digest,
    is_decision,
)
from fleet_workers.store.journal import Step, StepKind

USED_STEP = "decision_used"
"""Name of the step that says that a decision has been acted on, and allows nothing more."""

NOT_CALLED_STEP = "not_called"
"""Name of the step that says that a call was held back before anything went out: it may be made."""


SPEND_GATE = "spend"
"""What a limit on money is called where a person is asked to let a call pass it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruled:
    """What a person said, and in which review; or that a call was held back, and in which step."""

    review: str
    ruling: Ruling
    text: str
    by: str | None = None
    at: datetime | None = None
    policy: str | None = None


def ruling_on(steps: Sequence[Step], kind: ReviewKind, key: Mapping[str, Any]) -> Ruled | None:
    """The last decision of this kind about exactly this call that has not been used up.

    A call that was held back counts as one to make it: what allowed it has come to nothing yet.
    """
    used = {
        (step.result or {}).get("review")
        for step in steps
        if step.kind is StepKind.REVIEW and step.name == USED_STEP
    }
    told: dict[str, Mapping[str, Any]] = {}  # a review is decided once: said again it is no later
    for step in steps:
        said = step.result or {}
        if (
            step.kind is StepKind.REVIEW
            and step.name in {DECISION_STEP, NOT_CALLED_STEP}
            and said.get("kind") == kind
            and said.get("review") not in used
            and all(said.get(name) == value for name, value in key.items())
        ):
            told.setdefault(str(said.get("review")), said)
    return _ruled(next(reversed(told.values()))) if told else None


def edited_arguments(
    steps: Sequence[Step], tool: str, plan: int, call: int, planned: dict[str, Any]
) -> dict[str, Any]:
    """The arguments of a call as people have changed them, one after another; else as planned.

    An edit outlives the approval that it was: a call that must be approved anew stays as edited.
    """
    place = {"tool": tool, "plan": plan, "call": call}
    arguments = planned
    for step in filter(is_decision, steps):
        said = step.result or {}
        if (
            "instead_of" in said
            and all(said.get(name) == value for name, value in place.items())
            and said["instead_of"] == arguments_digest(arguments)
        ):
            arguments = dict(said["arguments"])
    return arguments


def put_aside(steps: Sequence[Step], plan: int) -> str | None:
    """What a person said instead of what a plan came to, in words for the model; else None.

    The agent is asked anew: what it proposed was refused, or the task was with another agent.
    """
    for step in filter(is_decision, steps):
        said = step.result or {}
        refused = said.get("ruling") == Ruling.REJECT and said.get("then") == GO_ON
        if refused and said.get("plan") == plan and "tool" not in said:
            return f"A colleague refused this: {said['text']} Heed that."
        if said.get("ruling") == Ruling.REASSIGN and step.seq > plan:
            return "This was not done: a colleague gave the request to another agent."
    return None


def handovers(steps: Sequence[Step]) -> list[str]:
    """What people have told the agents to which they gave the task, oldest first."""
    return [
        str((step.result or {}).get("text", ""))
        for step in filter(is_decision, steps)
        if (step.result or {}).get("ruling") == Ruling.REASSIGN
    ]


def _ruled(said: Mapping[str, Any]) -> Ruled:
    return Ruled(
        review=str(said["review"]),
        ruling=Ruling(said["ruling"]),
        text=str(said["text"]),
        by=said.get("by"),
        at=datetime.fromisoformat(said["at"]) if said.get("at") else None,
        policy=said.get("policy"),
    )


def may_pass_limits(steps: Sequence[Step], key: Mapping[str, Any]) -> bool:
    """Whether a person who was told of a limit on money has let exactly this call pass it."""
    ruled = ruling_on(steps, ReviewKind.OVER_BUDGET, key)
    if ruled is None or ruled.ruling is not Ruling.APPROVE:
        return False
    asked: Step | None = None
    for step in steps:
        if step.kind is not StepKind.REVIEW:
            continue
        if step.name == ReviewKind.OVER_BUDGET:
            asked = step
        elif step.name == DECISION_STEP and (step.result or {}).get("review") == ruled.review:
            break
    gates = (asked.result or {}).get("gates", ()) if asked is not None else ()
    return any(each.get("gate") == SPEND_GATE for each in gates)


def held_back(place: int, key: Mapping[str, Any], why: str) -> dict[str, Any]:
    """The content of a `NOT_CALLED_STEP` that is the journal's step `place`."""
    return {
        "review": f"step {place}",
        "kind": ReviewKind.IN_DOUBT,
        "ruling": Ruling.APPROVE,
        "text": why,
        **key,
    }
