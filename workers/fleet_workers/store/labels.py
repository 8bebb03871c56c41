"""Labels: what the agent proposed and what a person made of it, one a review, never changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from fleet_workers.store import finished_steps
from fleet_workers.store.desk_tables import labels, samples
from fleet_workers.store.json_text import as_stored
from fleet_workers.store.reviews import ReviewItem
from fleet_workers.telemetry.meters import REVIEWS_DECIDED, bounded


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """How a finished task came to be judged: from which stratum, and for how many it stands."""

    stratum: str
    weight: float


def draw_of(connection: Connection, review_id: UUID) -> Draw | None:
    """The draw that opened a review; None for a review that no draw opened."""
    row = connection.execute(
        select(samples.c.stratum, samples.c.weight).where(samples.c.review_id == review_id)
    ).one_or_none()
    return None if row is None else Draw(stratum=row.stratum, weight=row.weight)


def is_offline(connection: Connection, task_id: UUID) -> bool:
    """Whether the built-in offline model had a part in a task, however long ago it ended."""
    rows = finished_steps.rows_of(connection, task_id)
    return any((row.model or "").startswith("offline-") for row in rows)


def add(
    connection: Connection,
    item: ReviewItem,
    *,
    ruling: str,
    right: bool | None,
    proposed: Mapping[str, Any],
    decided: Mapping[str, Any],
    confidence: float | None,
    release: str | None,
    seconds: float | None,
    offline: bool,
    draw: Draw | None = None,
) -> bool:
    """Write the label of a decided item in the caller's transaction; tells whether it is new.

    A second label of the same review is not written: the first one stands. `seconds` is what the
    person took, None where it is not known.
    """
    written = connection.execute(
        insert(labels)
        .values(
            review_id=item.id,
            task_id=item.task_id,
            tenant=item.tenant,
            agent=item.agent,
            release=release,
            kind=item.kind,
            ruling=ruling,
            right=right,
            offline=offline,
            proposed=as_stored(dict(proposed)),
            decided=as_stored(dict(decided)),
            confidence=confidence,
            stratum=draw.stratum if draw else None,
            weight=draw.weight if draw else 1.0,
            seconds=seconds,
            decided_by=item.decided_by or "somebody outside the fleet",
            **({"decided_at": item.decided_at} if item.decided_at else {}),
        )
        .on_conflict_do_nothing(index_elements=[labels.c.review_id])
        .returning(labels.c.review_id)
    ).scalar()
    if written is not None:
        REVIEWS_DECIDED.labels(bounded("agent", item.agent), item.kind, ruling).inc()
    return written is not None
