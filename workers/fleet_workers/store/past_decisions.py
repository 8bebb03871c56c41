"""Reads what people decided lately, for those who decide something like it now."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select

from fleet_workers.store.desk_tables import labels
from fleet_workers.store.tables import reviews


def recent_requests(
    connection: Connection, *, tenant: str, agent: str, but: UUID, limit: int
) -> list[tuple[UUID, str]]:
    """Id and request of the reviews of one tenant and agent that were decided last, newest first.

    Of a request only the first words are there, as lists show them. `but` is left out.
    """
    rows = connection.execute(
        select(labels.c.review_id, reviews.c.request_line)
        .join(reviews, reviews.c.id == labels.c.review_id)
        .where(
            labels.c.tenant == tenant,
            labels.c.agent == agent,
            labels.c.review_id != but,
            reviews.c.request_line != "",
        )
        .order_by(labels.c.decided_at.desc())
        .limit(limit)
    )
    return [(row.review_id, row.request_line) for row in rows]


def decisions_of(connection: Connection, review_ids: Sequence[UUID]) -> dict[UUID, Any]:
    """Rows of the labels of some reviews, by review."""
    rows = connection.execute(
        select(
            labels.c.review_id,
            labels.c.task_id,
            labels.c.kind,
            labels.c.ruling,
            labels.c.proposed,
            labels.c.decided,
            labels.c.decided_by,
            labels.c.decided_at,
        ).where(labels.c.review_id.in_(review_ids))
    )
    return {row.review_id: row for row in rows}
