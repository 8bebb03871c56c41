"""Rows of what the fleet gave up: whole tasks, and messages that no one could read."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection, Row, func, insert, select

from fleet_contracts.ids import new_task_id
from fleet_workers.store.tables import dead_letters


class DeadLetter(BaseModel):
    """What was given up and why. `body` is the envelope, or the message as it came."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    task_id: UUID | None
    tenant: str | None
    agent: str | None
    queue: str | None
    reason: str
    error: str
    body: str
    attempts: list[dict[str, Any]]
    traceparent: str | None
    created_at: datetime
    settled_at: datetime | None = None
    settled_as: str | None = None


def add(
    connection: Connection,
    *,
    reason: str,
    error: str,
    body: str,
    task_id: UUID | None = None,
    tenant: str | None = None,
    agent: str | None = None,
    queue: str | None = None,
    attempts: Sequence[Mapping[str, Any]] = (),
    traceparent: str | None = None,
) -> DeadLetter:
    """Write a dead letter in the caller's transaction.

    NUL, which text columns cannot hold, is shown as U+2400.
    """
    row = connection.execute(
        insert(dead_letters)
        .values(
            id=new_task_id(),
            task_id=task_id,
            tenant=tenant,
            agent=agent,
            queue=queue,
            reason=reason,
            error=_storable(error),
            body=_storable(body),
            attempts=[dict(each) for each in attempts],
            traceparent=traceparent,
        )
        .returning(dead_letters)
    ).one()
    return _letter(row)


def unsettled(
    connection: Connection, *, tenant: str | None = None, limit: int = 50
) -> list[DeadLetter]:
    """Dead letters that nobody replayed or discarded, newest first."""
    query = (
        select(dead_letters)
        .where(dead_letters.c.settled_at.is_(None))
        .order_by(dead_letters.c.created_at.desc())
        .limit(limit)
    )
    if tenant is not None:
        query = query.where(dead_letters.c.tenant == tenant)
    return [_letter(row) for row in connection.execute(query)]


def count_unsettled(connection: Connection, *, tenant: str | None = None) -> int:
    """Number of dead letters that nobody replayed or discarded."""
    query = (
        select(func.count()).select_from(dead_letters).where(dead_letters.c.settled_at.is_(None))
    )
    if tenant is not None:
        query = query.where(dead_letters.c.tenant == tenant)
    return connection.execute(query).scalar_one()


def _storable(text: str) -> str:
    return text.replace("\x00", "\u2400").encode("utf-8", "replace").decode()


def _letter(row: Row[Any]) -> DeadLetter:
    return DeadLetter.model_validate(dict(row._mapping))  # noqa: SLF001 the documented way to a dict
