"""Finds tasks that nobody works on and makes them ready to be woken. Safe to run many at once."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, func, select, update

from fleet_contracts.states import OPEN_STATES, TaskState
from fleet_workers.store import reviews
from fleet_workers.store.tables import tasks


def _pick(connection: Connection, condition: ColumnElement[bool], limit: int) -> list[UUID]:
    return list(
        connection.execute(
            select(tasks.c.id).where(condition).limit(limit).with_for_update(skip_locked=True)
        ).scalars()
    )


def requeue_due(connection: Connection, *, limit: int) -> list[UUID]:
    """Queue tasks whose waiting time between attempts is over."""
    found = _pick(
        connection,
        (tasks.c.state == TaskState.RETRYING) & (tasks.c.due_at <= func.now()),
        limit,
    )
    _queue(connection, found)
    return found


def requeue_abandoned(connection: Connection, *, limit: int) -> list[UUID]:
    """Queue running tasks whose lease has ended: their worker died or hangs."""
    found = _pick(
        connection,
        (tasks.c.state == TaskState.RUNNING) & (tasks.c.lease_until < func.now()),
        limit,
    )
    _queue(connection, found, epoch=tasks.c.epoch + 1, worker=None, lease_until=None)
    return found


def requeue_forgotten(connection: Connection, *, silence: timedelta, limit: int) -> list[UUID]:
    """Give queued tasks that nobody claimed for `silence`, so that they are woken once more.

    Their message may be lost, or may only wait behind others: a second one does no harm.
    """
    found = _pick(
        connection,
        (tasks.c.state == TaskState.QUEUED) & (tasks.c.woken_at < func.now() - silence),
        limit,
    )
    _queue(connection, found)
    return found


def expire_overdue(connection: Connection, *, limit: int) -> list[UUID]:
    """End open tasks whose deadline has passed; a running one stops before its next write."""
    found = _pick(
        connection,
        tasks.c.deadline.is_not(None)
        & tasks.c.state.in_(sorted(OPEN_STATES))
        & (tasks.c.deadline <= func.now()),
        limit,
    )
    if found:
        connection.execute(
            update(tasks)
            .where(tasks.c.id.in_(found))
            .values(
                state=TaskState.EXPIRED,
                epoch=tasks.c.epoch + 1,
                worker=None,
                lease_until=None,
                finished_at=func.now(),
            )
        )
        reviews.close(connection, found, why="expired")
    return found


def _queue(connection: Connection, found: list[UUID], **values: object) -> None:
    if found:
        connection.execute(
            update(tasks)
            .where(tasks.c.id.in_(found))
            .values(state=TaskState.QUEUED, woken_at=func.now(), due_at=None, **values)
        )
