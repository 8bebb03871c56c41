"""Turns a person's decision into a label: whether the agent was right, and what came instead."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from fleet_contracts.outcome import ReviewKind
from fleet_workers.review.binding import Ruling, arguments_digest, proposal_of
from fleet_workers.store import labels, plan_cache
from fleet_workers.store.accounts import FLEET
from fleet_workers.store.reviews import ReviewItem

_SAYS_NOTHING = frozenset({ReviewKind.IN_DOUBT, ReviewKind.TOOL_AWAY})
"""Whether a call has happened, and whether its server is up, is no merit of the agent."""

_PROPOSED = ("answer", "tool", "arguments", "agent", "plan", "call")


def keep_label(
    connection: Connection,
    item: ReviewItem,
    ruling: Ruling,
    text: str,
    *,
    arguments: Mapping[str, Any] | None = None,
    agent: str | None = None,
    then: str | None = None,
) -> None:
    """Write the label of a decided item in the decision's transaction; a second one is not written.

    `arguments` are those of an edited action, `agent` is the one that takes over, `then` is what a
    rejection means. The time runs from the claim, else from the item's opening. What was wrong is
    not used again: stored replies that had a part in it are deleted.
    """
    right = was_right(item, ruling, text)
    if right is False:
        plan_cache.forget_task(connection, item.task_id)
    labels.add(
        connection,
        item,
        ruling=ruling,
        right=right,
        proposed=proposed_by(item),
        decided=_decided(text, arguments=arguments, agent=agent, then=then),
        confidence=_confidence(item),
        release=_text(item.packet.get("release")),
        seconds=_seconds(item, item.claimed_at or item.created_at),
        offline=labels.is_offline(connection, item.task_id),
        draw=labels.draw_of(connection, item.id) if item.kind is ReviewKind.SAMPLED else None,
    )


def was_right(item: ReviewItem, ruling: Ruling, text: str = "") -> bool | None:
    """Whether the agent was right; None where the ruling does not tell.

    An approval, or an edit that changes nothing, says yes. An edit, a rejection and a person's own
    answer say no to what was proposed; where the agent proposed nothing, or only the state of a
    call is in question, they say nothing.
    """
    proposal = proposal_of(item)
    if item.kind in _SAYS_NOTHING or ruling in {Ruling.ASK, Ruling.REASSIGN}:
        return None
    if item.decided_by == FLEET:
        return None  # nobody decided in time
    if not any(proposal.get(name) for name in ("answer", "tool", "agent")):
        return None
    if ruling not in {Ruling.APPROVE, Ruling.EDIT}:
        return False
    if "planned_arguments" in proposal:
        planned = arguments_digest(proposal["planned_arguments"])
        return planned == arguments_digest(proposal.get("arguments", {}))
    return ruling is Ruling.APPROVE or text.strip() == str(proposal.get("answer", "")).strip()


def proposed_by(item: ReviewItem) -> dict[str, Any]:
    """What the agent itself proposed, before any person changed it."""
    proposal = proposal_of(item)
    own = {name: proposal[name] for name in _PROPOSED if name in proposal}
    if "planned_arguments" in proposal:
        own["arguments"] = proposal["planned_arguments"]
    return own


def _decided(
    text: str, *, arguments: Mapping[str, Any] | None, agent: str | None, then: str | None
) -> dict[str, Any]:
    said: dict[str, Any] = {"text": text, "agent": agent, "then": then}
    if arguments is not None:
        said["arguments"] = dict(arguments)
    return {name: value for name, value in said.items() if value not in (None, "")}


def _confidence(item: ReviewItem) -> float | None:
    """The packet's, where it is a probability: packets may come from a restored backup."""
    value = item.packet.get("confidence")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        return None
    return float(value)


def _seconds(item: ReviewItem, since: datetime) -> float | None:
    if item.decided_at is None:
        return None
    return max(0.0, (item.decided_at - since).total_seconds())


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
