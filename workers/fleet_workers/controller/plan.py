"""Reads plans back from the journal: the calls a model asked for, and what became of each."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fleet_workers.models.asked_for import OWN_CALL
from fleet_workers.models.candidates import MAIN, TIERS
from fleet_workers.models.messages import ChatReply, ToolCall
from fleet_workers.store.journal import CorruptJournal, Step, StepKind, StepState
from fleet_workers.store.json_text import json_text

ARGUMENTS_GATE: Final = "arguments"
"""Name of the gate that lets a model mend a call whose arguments were not accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Climb:
    """The tier `to` is asked in place of `tier`, whose plan, a journal step, would not do.

    `confidence` is that of its answer, 0 to 1, where it gave one.
    """

    tier: str
    to: str
    plan: int
    reason: str
    confidence: float | None = None

    def as_record(self) -> dict[str, Any]:
        """The journal's form."""
        known = {} if self.confidence is None else {"confidence": self.confidence}
        place = {"tier": self.tier, "to": self.to, "plan": self.plan}
        return {**place, "reason": self.reason, **known}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A model's reply as the journal holds it.

    `tier` was asked; `climb` tells of the smaller one's plan that it stands in place of.
    """

    seq: int
    tier: str
    climb: Climb | None
    text: str | None
    calls: tuple[ToolCall, ...]
    finish_reason: str
    model: str
    offline: bool


def plan_result(reply: ChatReply) -> dict[str, Any]:
    """The journal's form of a model's reply."""
    return {
        "text": reply.text,
        "calls": [
            {"id": call.id, "name": call.name, "arguments": call.arguments}
            for call in reply.tool_calls
        ],
        "finish_reason": reply.finish_reason,
        "model": reply.model,
        "offline": reply.offline,
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.completion_tokens,
        **({"cached_tokens": reply.cached_tokens} if reply.cached_tokens else {}),
        **({"endpoint": reply.endpoint} if reply.endpoint != MAIN else {}),
        **_origin(reply),
    }


def _origin(reply: ChatReply) -> dict[str, Any]:
    if reply.source == OWN_CALL:
        return {}
    saved = {} if reply.saved_usd is None else {"saved_usd": str(reply.saved_usd)}
    return {"source": reply.source, **saved, "provenance": dict(reply.provenance)}


def plans(steps: Sequence[Step], agent: str) -> list[Plan]:
    """All finished plans of one agent in order; triage is the agent `auto`."""
    return [
        _plan(step, step.result)
        for step in steps
        if step.kind is StepKind.PLAN
        and step.name == agent
        and step.state is StepState.DONE
        and step.result is not None
    ]


def _plan(step: Step, result: Mapping[str, Any]) -> Plan:
    try:
        return Plan(
            seq=step.seq,
            tier=str(step.request.get("tier")),
            climb=_climb(step.request.get("climbed_from")),
            text=result["text"],
            calls=tuple(ToolCall(**call) for call in result["calls"]),
            finish_reason=result["finish_reason"],
            model=result["model"],
            offline=result["offline"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptJournal(
            f"Step {step.seq} holds no plan that can be read ({error!r}): mend the row and replay "
            "the dead letter, or submit the request anew."
        ) from error


def _climb(told: Mapping[str, Any] | None) -> Climb | None:
    if told is None:
        return None
    if told["to"] not in TIERS:
        raise ValueError(f"{told['to']} is no tier")
    return Climb(
        tier=told["tier"],
        to=told["to"],
        plan=int(told["plan"]),
        reason=told["reason"],
        confidence=told.get("confidence"),
    )


def fate_of(steps: Sequence[Step], plan: Plan, index: int) -> Step | None:
    """The tool step or refusal that belongs to a plan's call, or None where it is untouched.

    Raises:
        CorruptJournal: A tool step does not tell which call it is.
    """
    for step in steps:
        place = _call_of(step)
        if place is not None and (place.get("plan"), place.get("call")) == (plan.seq, index):
            return step
    return None


def _call_of(step: Step) -> Mapping[str, Any] | None:
    if step.kind is StepKind.GATE:
        return step.result
    if step.kind is not StepKind.TOOL:
        return None
    if not {"plan", "call", "arguments"} <= step.request.keys():
        raise CorruptJournal(
            f"Step {step.seq} does not tell which call it is, so that it might be made twice: mend "
            "the row and replay the dead letter, or submit the request anew."
        )
    return step.request


def call_result(step: Step) -> dict[str, Any]:
    """What the model is told about a call: the tool's value, or an error it can act on."""
    result = step.result or {}
    if step.kind is StepKind.GATE:
        return {"error": result.get("reason")}
    told = {"error": result["error"]} if "error" in result else {"result": result.get("value")}
    if step.request.get("edited"):
        told["changed_by_a_person"] = {"arguments": step.request["arguments"]}
    return told


def parse_arguments(call: ToolCall) -> dict[str, Any]:
    """Read a call's arguments.

    Raises:
        ValueError: They are not a JSON object; the text tells a model how to mend them.
    """
    try:
        # As the store keeps them, so that an approval read back is for the same arguments.
        arguments = json.loads(json_text(json.loads(call.arguments or "{}")))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"The arguments of {call.name} are not JSON: {error}.") from error
    if not isinstance(arguments, dict):
        raise ValueError(f"The arguments of {call.name} must be a JSON object.")  # noqa: TRY004 one error for one fault
    return arguments


def tools_used(steps: Sequence[Step]) -> tuple[str, ...]:
    """Names of the tools that were called, in order of first use."""
    done = [step.name for step in steps if step.kind is StepKind.TOOL]
    return tuple(dict.fromkeys(done))
