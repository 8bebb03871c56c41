"""What customers and their programs say about finished tasks: one row a task and way in."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, func, select, update
from sqlalchemy.dialects.postgresql import insert

from fleet_contracts.ids import new_task_id
from fleet_contracts.outcome import ReviewKind
from fleet_workers.store.desk_tables import feedback
from fleet_workers.store.finished import FinishedTask
from fleet_workers.store.tables import reviews
from fleet_workers.telemetry.meters import FEEDBACK, bounded


class FeedbackSource(StrEnum):
    """Which way it came: from a program with a key, or by a signed link."""

    API = "api"
    LINK = "link"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackRow:
    """What was said. `rating` is `good`, `bad`, or None where only a flag was set."""

    id: UUID
    task_id: UUID
    tenant: str
    agent: str
    rating: str | None
    comment: str
    flagged: bool
    source: str
    review_id: UUID | None
    created_at: datetime


def put(
    connection: Connection,
    task: FinishedTask,
    *,
    rating: str | None,
    comment: str,
    flagged: bool,
    source: FeedbackSource,
) -> FeedbackRow:
    """Write what was said about a task; what came the same way before is replaced.

    The review that earlier feedback had opened stays noted.
    """
    said = {"rating": rating, "comment": comment, "flagged": flagged}
    row = connection.execute(
        insert(feedback)
        .values(
            id=new_task_id(),
            task_id=task.id,
            tenant=task.tenant,
            agent=task.agent,
            release=task.release,
            source=source,
            **said,
        )
        .on_conflict_do_update(
            index_elements=[feedback.c.task_id, feedback.c.source],
            set_={**said, "created_at": func.now()},
        )
        .returning(feedback)
    ).one()
    FEEDBACK.labels(bounded("agent", task.agent), rating or "none").inc()
    return _feedback(row)


def of_task(connection: Connection, task_id: UUID, source: FeedbackSource) -> FeedbackRow | None:
    """What was said about a task in one way."""
    row = connection.execute(
        select(feedback).where(feedback.c.task_id == task_id, feedback.c.source == source)
    ).one_or_none()
    return None if row is None else _feedback(row)


def note_review(connection: Connection, feedback_id: UUID, review_id: UUID) -> None:
    """Note which review looks into it."""
    connection.execute(
        update(feedback).where(feedback.c.id == feedback_id).values(review_id=review_id)
    )


def waiting_review(connection: Connection, task_id: UUID) -> UUID | None:
    """The flagged review of a task that nobody has decided yet."""
    return connection.execute(
        select(reviews.c.id)
        .where(
            reviews.c.task_id == task_id,
            reviews.c.kind == ReviewKind.FLAGGED,
            reviews.c.state == "waiting",
        )
        .limit(1)
    ).scalar()


def _feedback(row: Row[Any]) -> FeedbackRow:
    return FeedbackRow(
        id=row.id,
        task_id=row.task_id,
        tenant=row.tenant,
        agent=row.agent,
        rating=row.rating,
        comment=row.comment,
        flagged=row.flagged,
        source=row.source,
        review_id=row.review_id,
        created_at=row.created_at,
    )
