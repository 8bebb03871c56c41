"""Puts an item before a person: a row in the store, and a message on `human.review`."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from fleet_contracts.envelope import TaskEnvelope
from fleet_contracts.outcome import ReviewKind
from fleet_contracts.topology import REVIEW_QUEUE
from fleet_workers.store import outbox, reviews
from fleet_workers.store.outbox import Letter


def open_review(
    connection: Connection,
    envelope: TaskEnvelope,
    *,
    agent: str,
    kind: ReviewKind,
    reason: str,
    packet: Mapping[str, Any],
) -> Letter:
    """Write the item and its announcement in the caller's transaction; gives the letter to send."""
    item = reviews.add(
        connection,
        task_id=envelope.id,
        tenant=envelope.tenant,
        agent=agent,
        kind=kind,
        reason=reason,
        packet=packet,
    )
    return outbox.post(connection, "", outbox.plain_message(REVIEW_QUEUE, item.model_dump_json()))
