"""The packet that a person gets with a task: all that is known, so that nobody tells it twice."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from fleet_contracts.envelope import TaskEnvelope
from fleet_contracts.outcome import ReviewKind
from fleet_workers.agents import AgentRelease
from fleet_workers.review.packet_action import describe_action
from fleet_workers.review.packet_history import (
    calls,
    conversation,
    rounds,
    ruled_out,
    signals,
    understood,
)
from fleet_workers.review.packet_origins import Origins
from fleet_workers.review.packet_reasons import because, never_lines
from fleet_workers.review.packet_size import fitted
from fleet_workers.review.wording import label_of, value_words
from fleet_workers.store.journal import Step

_IDENTITIES: Final = ("id", "customer", "customer_id")
_PERSONAL: Final = ("name", "email", "company", "full_name")
_MOST_FACTS: Final = 12
_LONGEST_FACT: Final = 200
_DEEPEST: Final = 6
_MOST_RECORDS: Final = 5_000
_BEYOND_SCOPE: Final = frozenset({ReviewKind.OUT_OF_SCOPE, ReviewKind.SUSPICIOUS})


def build_packet(
    envelope: TaskEnvelope,
    steps: Sequence[Step],
    *,
    agent: str,
    release: str | None,
    reason: str,
    proposal: Mapping[str, Any],
    confidence: float | None,
    kind: ReviewKind | None = None,
    gates: Sequence[Mapping[str, Any]] = (),
    evidence: Mapping[str, Any] | None = None,
    made_by: AgentRelease | None = None,
) -> dict[str, Any]:
    """All that a person needs to decide, as JSON-ready values of at most `MAX_PACKET_BYTES`.

    `gates` and `evidence` are what the controller has stopped for; `made_by` is the release whose
    tools and boundary the words are taken from. The proposal is kept whole, because decisions are
    bound to it; all else is cut where it is long, and says so.
    """
    packet = {
        **_of_the_request(envelope, steps),
        "agent": agent,
        "release": release,
        "understood": understood(steps),
        "done": calls(steps, "write"),
        "found": calls(steps, "read"),
        "proposal": dict(proposal),
        "action": describe_action(proposal, kind, made_by, Origins(envelope, steps).find),
        "confidence": confidence,
        "why": reason,
        "because": because(reason, gates, evidence or {}),
        "ruled_out": [*ruled_out(steps), *_out_of_bounds(envelope, reason, kind, made_by)],
        "rounds": rounds(steps),
    }
    return fitted(packet, whole=frozenset({"proposal"}) if _is_bound(proposal) else frozenset())


def _of_the_request(envelope: TaskEnvelope, steps: Sequence[Step]) -> dict[str, Any]:
    return {
        "request": envelope.input,
        "data": envelope.data,
        "tenant": envelope.tenant,
        "customer": envelope.customer,
        "about_customer": _about(
            envelope.customer, [envelope.data, *_values(calls(steps, "read"))]
        ),
        "session_id": envelope.session_id,
        "conversation": conversation(steps),
        "signals": signals(steps),
    }


def _is_bound(proposal: Mapping[str, Any]) -> bool:
    """Whether a person's yes would carry out what stands in the proposal."""
    return "tool" in proposal or "answer" in proposal


def _out_of_bounds(
    envelope: TaskEnvelope, reason: str, kind: ReviewKind | None, made_by: AgentRelease | None
) -> list[dict[str, str]]:
    if made_by is None or kind not in _BEYOND_SCOPE:
        return []
    never = never_lines(made_by.manifest.scope.never, envelope.input, reason)
    title = made_by.manifest.title
    return [
        {"what": line, "why": f"{title} must never do this.", "by": "the agent's boundary"}
        for line in never
    ]


def _values(found: Sequence[Mapping[str, Any]]) -> Iterator[Any]:
    for each in found:
        outcome = each.get("outcome")
        if isinstance(outcome, Mapping):
            yield outcome.get("value")


def _about(customer: str | None, values: Sequence[Any]) -> list[dict[str, str]]:
    """Who the customer is: the facts of the first record found that is this customer's own."""
    if customer is None:
        return []
    for value in values:
        for record in islice(_records(value), _MOST_RECORDS):
            if any(record.get(name) == customer for name in _IDENTITIES) and any(
                isinstance(record.get(name), str) for name in _PERSONAL
            ):
                return _facts(record)
    return []


def _facts(record: Mapping[str, Any]) -> list[dict[str, str]]:
    told = [
        {"label": label_of(str(name)), "value": value_words(value)[:_LONGEST_FACT]}
        for name, value in record.items()
        if isinstance(value, str | int | float) and value_words(value).strip()
    ]
    return told[:_MOST_FACTS]


def _records(value: Any, level: int = 0) -> Iterator[Mapping[str, Any]]:
    """Every object in a value, the outer ones first."""
    if level > _DEEPEST:
        return
    if isinstance(value, Mapping):
        yield value
    if isinstance(value, Mapping | list | tuple):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from _records(each, level + 1)
