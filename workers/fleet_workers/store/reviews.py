"""Rows of items that wait for a person."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection, Row, func, insert, null, select, update

from fleet_contracts.ids import new_task_id
from fleet_contracts.outcome import Outcome, OutcomeKind, ReviewKind
from fleet_contracts.states import TaskState
from fleet_workers.store.tables import reviews, steps, tasks


class ReviewItem(BaseModel):
    """One thing that a person must decide. `packet` holds the whole context."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    task_id: UUID
    tenant: str
    agent: str
    kind: ReviewKind
    reason: str
    state: str
    packet: dict[str, Any]
    created_at: datetime
    decided_at: datetime | None = None
    decided_by: str | None = None
    decision: dict[str, Any] | None = None


def add(
    connection: Connection,
    *,
    task_id: UUID,
    tenant: str,
    agent: str,
    kind: ReviewKind,
    reason: str,
    packet: Mapping[str, Any],
) -> ReviewItem:
    """Write an item in the caller's transaction."""
    row = connection.execute(
        insert(reviews)
        .values(
            id=new_task_id(),
            task_id=task_id,
            tenant=tenant,
            agent=agent,
            kind=kind,
            reason=reason,
            packet=dict(packet),
        )
        .returning(reviews)
    ).one()
    return _item(row)


def close(connection: Connection, task_ids: Iterable[UUID], *, why: str) -> None:
    """Take items off the list whose task was ended in another way."""
    connection.execute(
        update(reviews)
        .where(reviews.c.task_id.in_(list(task_ids)), reviews.c.state == "waiting")
        .values(state="closed", decided_at=func.now(), decision={"closed": why})
    )


def get(connection: Connection, review_id: UUID, *, tenant: str | None) -> ReviewItem | None:
    """One item; None in another tenant. `tenant=None` sees all."""
    query = select(reviews).where(reviews.c.id == review_id)
    if tenant is not None:
        query = query.where(reviews.c.tenant == tenant)
    row = connection.execute(query).one_or_none()
    return _item(row) if row is not None else None


def lock(connection: Connection, review_id: UUID, *, tenant: str | None) -> ReviewItem | None:
    """As `get`, and nobody else may decide it until this transaction ends."""
    query = select(reviews).where(reviews.c.id == review_id).with_for_update()
    if tenant is not None:
        query = query.where(reviews.c.tenant == tenant)
    row = connection.execute(query).one_or_none()
    return _item(row) if row is not None else None


def record_decision(
    connection: Connection, review_id: UUID, decision: Mapping[str, Any], *, decided_by: str
) -> ReviewItem:
    """Write what a person decided."""
    row = connection.execute(
        update(reviews)
        .where(reviews.c.id == review_id)
        .values(
            state="decided",
            decision=dict(decision),
            decided_by=decided_by,
            decided_at=func.now(),
        )
        .returning(reviews)
    ).one()
    return _item(row)


def note_approvals(connection: Connection, review_id: UUID, approved_by: Sequence[str]) -> None:
    """Keep who has approved an item that needs more people."""
    connection.execute(
        update(reviews)
        .where(reviews.c.id == review_id)
        .values(decision={"approved_by": list(approved_by)})
    )


def decided(connection: Connection, *, limit: int) -> list[UUID]:
    """Lock items that hold a decision without a consequence, skipping those at work elsewhere."""
    rows = connection.execute(
        select(reviews.c.id)
        .where(reviews.c.state == "decided")
        .order_by(reviews.c.decided_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return list(rows.scalars())


def put_back(connection: Connection, review_id: UUID) -> None:
    """Let an item wait for a person again, without the decision that it holds."""
    connection.execute(
        update(reviews)
        .where(reviews.c.id == review_id)
        .values(state="waiting", decision=null(), decided_by=None, decided_at=None)
    )


def mark_resumed(connection: Connection, review_id: UUID) -> None:
    """Note that the decision has had its consequence."""
    connection.execute(update(reviews).where(reviews.c.id == review_id).values(state="resumed"))


def lock_parked_task(connection: Connection, task_id: UUID) -> dict[str, Any] | None:
    """The envelope of a task that waits for a person, locked; None where it waits no more."""
    found: dict[str, Any] | None = connection.execute(
        select(tasks.c.envelope)
        .where(tasks.c.id == task_id, tasks.c.state == TaskState.IN_REVIEW)
        .with_for_update()
    ).scalar()
    return found


def add_decision_step(
    connection: Connection, task_id: UUID, name: str, result: Mapping[str, Any]
) -> None:
    """Put a decision at the end of the journal of a task whose row the caller has locked."""
    following = select(func.coalesce(func.max(steps.c.seq), -1) + 1).where(
        steps.c.task_id == task_id
    )
    epoch = select(tasks.c.epoch).where(tasks.c.id == task_id)
    connection.execute(
        insert(steps).values(
            task_id=task_id,
            seq=following.scalar_subquery(),
            epoch=epoch.scalar_subquery(),
            kind="review",
            name=name,
            state="done",
            request={},
            result=dict(result),
            finished_at=func.now(),
        )
    )


def queue_task(connection: Connection, task_id: UUID, *, agent: str | None = None) -> None:
    """Let a parked task go on, for another agent where one is named, with fresh attempts.

    The caller sends its message.
    """
    connection.execute(
        update(tasks)
        .where(tasks.c.id == task_id)
        .values(
            state=TaskState.QUEUED,
            agent=agent or tasks.c.agent,
            epoch=tasks.c.epoch + 1,
            attempts=0,
            deliveries=0,
            outcome=null(),
            woken_at=func.now(),
        )
    )


def end_task(connection: Connection, task_id: UUID, outcome: Outcome) -> None:
    """End a parked task with what a person said."""
    ended = {OutcomeKind.REJECTED: TaskState.REJECTED}.get(outcome.kind, TaskState.SUCCEEDED)
    connection.execute(
        update(tasks)
        .where(tasks.c.id == task_id)
        .values(
            state=ended,
            epoch=tasks.c.epoch + 1,
            outcome=outcome.model_dump(mode="json"),
            finished_at=func.now(),
        )
    )


def waiting(connection: Connection, *, tenant: str | None, limit: int = 50) -> list[ReviewItem]:
    """Items that nobody has decided, oldest first."""
    query = (
        select(reviews)
        .where(reviews.c.state == "waiting")
        .order_by(reviews.c.created_at)
        .limit(limit)
    )
    if tenant is not None:
        query = query.where(reviews.c.tenant == tenant)
    return [_item(row) for row in connection.execute(query)]


def of_task(connection: Connection, task_id: UUID) -> list[ReviewItem]:
    """All items of one task, oldest first."""
    rows = connection.execute(
        select(reviews).where(reviews.c.task_id == task_id).order_by(reviews.c.created_at)
    )
    return [_item(row) for row in rows]


def count_waiting(connection: Connection, *, tenant: str | None) -> int:
    """Number of items that nobody has decided."""
    query = select(func.count()).select_from(reviews).where(reviews.c.state == "waiting")
    if tenant is not None:
        query = query.where(reviews.c.tenant == tenant)
    return connection.execute(query).scalar_one()


def _item(row: Row[Any]) -> ReviewItem:
    return ReviewItem.model_validate(dict(row._mapping))  # noqa: SLF001 the documented way to a dict
