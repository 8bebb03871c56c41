"""Rows of items that wait for a person."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection, Row, func, insert, select, update

from fleet_contracts.ids import new_task_id
from fleet_contracts.outcome import ReviewKind
from fleet_workers.store.tables import reviews


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
