"""Puts an item before a person: a row in the store, and a message on `human.review`."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from fleet_contracts.envelope import TaskEnvelope
from fleet_contracts.outcome import ReviewKind
from fleet_contracts.topology import REVIEW_QUEUE
from fleet_workers.agents.review_rules import ReviewRules
from fleet_workers.review.message import review_message
from fleet_workers.review.standing import standing_of
from fleet_workers.store import outbox, reviews
from fleet_workers.store.outbox import Letter
from fleet_workers.store.reviews import ReviewItem
from fleet_workers.telemetry.meters import REVIEWS_OPENED, bounded

_NO_RULES: ReviewRules = {}


def open_review(
    connection: Connection,
    envelope: TaskEnvelope,
    *,
    agent: str,
    kind: ReviewKind,
    reason: str,
    packet: Mapping[str, Any],
    rules: ReviewRules = _NO_RULES,
) -> Letter:
    """Write the item and its announcement in the caller's transaction; gives the letter to send.

    `rules` are those of the agent's file; without them the fleet's hold.
    """
    return open_item(
        connection, envelope, agent=agent, kind=kind, reason=reason, packet=packet, rules=rules
    )[1]


def open_item(
    connection: Connection,
    envelope: TaskEnvelope,
    *,
    agent: str,
    kind: ReviewKind,
    reason: str,
    packet: Mapping[str, Any],
    rules: ReviewRules = _NO_RULES,
) -> tuple[ReviewItem, Letter]:
    """As `open_review`; gives the item too."""
    item = reviews.add(
        connection,
        task_id=envelope.id,
        tenant=envelope.tenant,
        agent=agent,
        kind=kind,
        reason=reason,
        packet=packet,
        standing=standing_of(rules, kind, packet),
    )
    REVIEWS_OPENED.labels(bounded("agent", agent), kind).inc()
    return item, announce(connection, item)


def announce(connection: Connection, item: ReviewItem) -> Letter:
    """Write the message that tells other systems of an item as it stands; gives it to send."""
    message = outbox.plain_message(REVIEW_QUEUE, review_message(item).model_dump_json())
    return outbox.post(connection, "", message)
