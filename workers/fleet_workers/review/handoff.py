"""The packet that a person gets with a task: all that is known, so that nobody tells it twice."""

from collections.abc import Mapping, Sequence
from typing import Any

from fleet_contracts.envelope import TaskEnvelope
from fleet_workers.store.journal import Step, StepKind


def build_packet(
    envelope: TaskEnvelope,
    steps: Sequence[Step],
    *,
    agent: str,
    release: str | None,
    reason: str,
    proposal: Mapping[str, Any],
    confidence: float | None,
) -> dict[str, Any]:
    """Request, conversation, findings, proposal and the reason to stop, as JSON-ready values."""
    return {
        "request": envelope.input,
        "data": envelope.data,
        "tenant": envelope.tenant,
        "customer": envelope.customer,
        "session_id": envelope.session_id,
        "agent": agent,
        "release": release,
        "conversation": _conversation(steps),
        "signals": _signals(steps),
        "done": _calls(steps, "write"),
        "found": _calls(steps, "read"),
        "proposal": dict(proposal),
        "confidence": confidence,
        "why": reason,
    }


def _conversation(steps: Sequence[Step]) -> list[Any]:
    for step in steps:
        if step.kind is StepKind.MEMORY and step.result is not None:
            return list(step.result["turns"])
    return []


def _signals(steps: Sequence[Step]) -> list[str]:
    for step in steps:
        if step.kind is StepKind.INBOUND and step.result is not None:
            return list(step.result["signals"])
    return []


def _calls(steps: Sequence[Step], effect: str) -> list[dict[str, Any]]:
    return [
        {
            "tool": step.name,
            "arguments": step.request["arguments"],
            "outcome": dict(step.result) if step.result is not None else "not known",
        }
        for step in steps
        if step.kind is StepKind.TOOL and step.request["effect"] == effect
    ]
