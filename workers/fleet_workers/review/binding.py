"""What a person can say, and what it is bound to: a call with its arguments, or a plan."""

import json
from collections.abc import Mapping
from enum import StrEnum
from hashlib import sha256
from typing import Any

from fleet_workers.store.journal import Step, StepKind
from fleet_workers.store.reviews import ReviewItem

DECISION_STEP = "decision"
"""Name of the journal's step that holds a decision, of kind `review`."""

GO_ON, END = "go_on", "end"
"""What a rejection means: the agent is told why and goes on, or the task ends."""


class Ruling(StrEnum):
    """What a person can say.

    `approve`: do the proposed action, this one and no other, send the proposed answer, or give
    the task to the proposed agent. `edit`: the same with the person's arguments or words in place
    of the agent's. `reject`: do not; the agent is told why and goes on, or the task ends.
    `answer`: the person's own answer ends the task. `ask`: the person's question goes to the
    customer, and the next task of the session goes on. `reassign`: another agent takes over.
    """

    APPROVE = "approve"
    EDIT = "edit"
    REJECT = "reject"
    ANSWER = "answer"
    ASK = "ask"
    REASSIGN = "reassign"


def approval_key(tool: str, plan: int, call: int, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What an approval is bound to: this call of this plan, with exactly these arguments."""
    return {
        "tool": tool,
        "plan": plan,
        "call": call,
        "arguments_sha256": arguments_digest(arguments),
    }


def arguments_digest(arguments: Mapping[str, Any]) -> str:
    """SHA-256 of a call's arguments in hexadecimal, the same before and after the store."""
    text = json.dumps(_with_plain_numbers(arguments), sort_keys=True)
    return sha256(text.encode()).hexdigest()


def is_decision(step: Step) -> bool:
    """Whether a step of the journal holds what a person decided."""
    return step.kind is StepKind.REVIEW and step.name == DECISION_STEP


def proposal_of(item: ReviewItem) -> dict[str, Any]:
    """What the agent would do or say; empty where it proposes nothing."""
    proposal = item.packet.get("proposal")
    return proposal if isinstance(proposal, dict) else {}


def proposal_digest(item: ReviewItem) -> str:
    """SHA-256 of what an item proposes: another one, where somebody has edited it meanwhile."""
    return arguments_digest(proposal_of(item))


def with_edited_arguments(item: ReviewItem, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The packet of an item whose call a person has changed; its `action` is still the old one.

    `planned_arguments` are those that the agent planned, however often people change them.
    """
    proposal = proposal_of(item)
    planned = proposal.get("planned_arguments", proposal["arguments"])
    edited = {**proposal, "arguments": dict(arguments), "planned_arguments": planned}
    return {**item.packet, "proposal": edited}


def decision_step(
    item: ReviewItem, ruling: Ruling, text: str, *, then: str | None = None
) -> dict[str, Any]:
    """The content of a `DECISION_STEP`: what was said, and what exactly it is about.

    An edited action is an approval of what the person made of it: `instead_of` tells for which
    arguments it stands.
    """
    proposal = proposal_of(item)
    bound: dict[str, Any] = {}
    if "tool" in proposal and "plan" in proposal:
        bound = approval_key(
            proposal["tool"], proposal["plan"], proposal["call"], proposal["arguments"]
        )
        bound |= {"policy": proposal["policy"]} if "policy" in proposal else {}
        if "planned_arguments" in proposal:
            bound["arguments"] = proposal["arguments"]
            bound["instead_of"] = arguments_digest(proposal["planned_arguments"])
    elif "plan" in proposal:
        bound = {"plan": proposal["plan"]}
    return {
        "review": str(item.id),
        "kind": item.kind,
        "ruling": Ruling.APPROVE if "tool" in proposal and ruling is Ruling.EDIT else ruling,
        "text": text,
        "by": ", ".join((item.decision or {}).get("approved_by", ())) or item.decided_by,
        "at": item.decided_at.isoformat() if item.decided_at else None,
        **({"then": then} if then else {}),
        **bound,
    }


def _with_plain_numbers(value: Any) -> Any:
    """The store gives 1e22 back as an integer, and -0.0 without its sign."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {key: _with_plain_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_plain_numbers(item) for item in value]
    return value
