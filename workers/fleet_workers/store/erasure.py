"""Erases what is stored of a customer, in small transactions.

Whoever works at a request (a janitor, or `fleetctl erase`) takes it for the length of one
transaction; what a killed process has not done the next one does.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    Connection,
    Row,
    Uuid,
    case,
    delete,
    func,
    insert,
    literal,
    select,
    update,
)

from fleet_contracts.states import OPEN_STATES, TaskState
from fleet_workers.store import reviews
from fleet_workers.store import tasks as task_rows
from fleet_workers.store.erasure_requests import TAKE_YOUR_TIME, Erasure, erasure_of, tell
from fleet_workers.store.erasure_statements import BY_CUSTOMER, BY_TASK, ERASED, TASKS
from fleet_workers.store.finished_steps import hold_journals
from fleet_workers.store.retention_tables import erasure_tasks, erasures
from fleet_workers.store.spend import customer_total
from fleet_workers.store.tables import tasks

CUT_OFF: Final = timedelta(minutes=10)
"""A task that was cancelled or expired less long ago waits: a worker in the middle of a call may
still write what came of it."""

_ENDED: Final = timedelta(seconds=5)  # what is written beside a task's end is written by then
_LOOK_AGAIN: Final = timedelta(seconds=30)
_BATCH: Final = 50
_OPEN: Final = sorted(OPEN_STATES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What one transaction did. `sessions` are to be taken out of the session memory.

    `waits` tells that nothing can be done before the request's `due_at`.
    """

    erasure: Erasure
    sessions: Sequence[str] = ()
    waits: bool = False


def work(
    connection: Connection, *, only: UUID | None = None, cut_off: timedelta = CUT_OFF
) -> Turn | None:
    """Do one transaction's part of the request that is due first; None where none is.

    With `only` of this request, due or not. What another process works at is passed over.
    """
    query = select(erasures).where(erasures.c.finished_at.is_(None))
    due = erasures.c.due_at <= func.now() if only is None else erasures.c.id == only
    row = connection.execute(
        query.where(due).order_by(erasures.c.due_at).limit(1).with_for_update(skip_locked=True)
    ).one_or_none()
    if row is None:
        return None
    connection.execute(TAKE_YOUR_TIME)
    if row.listed_at is None:
        return Turn(erasure=_list(connection, row))
    listed = _next(connection, row, cut_off)
    if listed:
        return _erase(connection, row, listed)
    if _is_through(connection, row):
        return Turn(erasure=_end(connection, row))
    erased = _sum(row.erased, {"cancelled": _cancel(connection, row)})
    later = _change(connection, row, due_at=func.now() + _LOOK_AGAIN, erased=erased)
    return Turn(erasure=later, waits=True)


def put_off_first(connection: Connection, *, error: str, wait: timedelta) -> None:
    """Let the request that is due first wait after a fault, of which `error` holds no words."""
    first = (
        select(erasures.c.id)
        .where(erasures.c.finished_at.is_(None), erasures.c.due_at <= func.now())
        .order_by(erasures.c.due_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    connection.execute(
        update(erasures)
        .where(erasures.c.id == first.scalar_subquery())
        .values(due_at=func.now() + wait, last_error=error)
    )


def _list(connection: Connection, row: Row[Any]) -> Erasure:
    """Note which tasks are the customer's; those that are open are cancelled where that was asked.

    Tasks that come later are of a new acquaintance, and stay.
    """
    mine = (tasks.c.tenant == row.tenant) & (tasks.c.customer == row.customer)
    connection.execute(
        insert(erasure_tasks).from_select(
            ["erasure_id", "task_id"], select(literal(row.id, Uuid), tasks.c.id).where(mine)
        )
    )
    erased = _sum(row.erased, {"cancelled": _cancel(connection, row)})
    return _change(connection, row, listed_at=func.now(), erased=erased)


def _cancel(connection: Connection, row: Row[Any]) -> int:
    if not row.cancel_open:
        return 0
    still_open = connection.execute(
        select(tasks.c.id)
        .join(erasure_tasks, erasure_tasks.c.task_id == tasks.c.id)
        .where(erasure_tasks.c.erasure_id == row.id, tasks.c.state.in_(_OPEN))
    ).scalars()
    cancelled = 0
    for task_id in still_open.all():
        if task_rows.cancel(connection, task_id, tenant=row.tenant):
            reviews.close(connection, [task_id], why="cancelled")
            cancelled += 1
    return cancelled


def _next(
    connection: Connection, row: Row[Any], cut_off: timedelta
) -> list[tuple[UUID, str | None]]:
    """Some tasks that can be erased now, with their sessions; locked, so that none is revived."""
    was_cut = tasks.c.state.in_((TaskState.CANCELLED, TaskState.EXPIRED))
    wait = case((was_cut, literal(cut_off)), else_=literal(min(_ENDED, cut_off)))
    is_calm = tasks.c.state.not_in(_OPEN) & (tasks.c.finished_at <= func.now() - wait)
    found = connection.execute(
        select(tasks.c.id, tasks.c.session_id)
        .join(erasure_tasks, erasure_tasks.c.task_id == tasks.c.id)
        .where(erasure_tasks.c.erasure_id == row.id, is_calm)
        .limit(_BATCH)
        .with_for_update(of=tasks)
    ).all()
    if found:
        return [(each.id, each.session_id) for each in found]
    # Deleted by policy meanwhile, and yet there may be reviews or feedback.
    gone = connection.execute(
        select(erasure_tasks.c.task_id)
        .where(
            erasure_tasks.c.erasure_id == row.id,
            ~select(tasks.c.id).where(tasks.c.id == erasure_tasks.c.task_id).exists(),
        )
        .limit(_BATCH)
    ).scalars()
    return [(each, None) for each in gone]


def _is_through(connection: Connection, row: Row[Any]) -> bool:
    left = select(erasure_tasks.c.task_id).where(erasure_tasks.c.erasure_id == row.id).limit(1)
    return connection.execute(left).scalar() is None


def _erase(
    connection: Connection, row: Row[Any], listed: Sequence[tuple[UUID, str | None]]
) -> Turn:
    ids = [task_id for task_id, _ in listed]
    hold_journals(connection)
    values = {"ids": ids, "names": [str(each) for each in ids]}
    erased = {
        name: connection.execute(statement, values).rowcount for name, statement in BY_TASK.items()
    }
    erased["tasks"] = connection.execute(TASKS, {"ids": ids, "erased": ERASED}).rowcount
    connection.execute(
        delete(erasure_tasks).where(
            erasure_tasks.c.erasure_id == row.id, erasure_tasks.c.task_id.in_(ids)
        )
    )
    changed = _change(connection, row, erased=_sum(row.erased, erased))
    sessions = sorted({session for _, session in listed if session is not None})
    return Turn(erasure=changed, sessions=sessions)


def _end(connection: Connection, row: Row[Any]) -> Erasure:
    """What names the customer without a task goes as well; the receipt names nobody."""
    values = {
        "tenant": row.tenant,
        "customer": row.customer,
        "total": customer_total(row.tenant, row.customer),
        "quoted": json.dumps(row.customer, ensure_ascii=False)[1:-1],
    }
    more = {
        name: connection.execute(statement, values).rowcount
        for name, statement in BY_CUSTOMER.items()
    }
    done = _change(
        connection,
        row,
        customer=None,
        finished_at=func.now(),
        erased=_sum(row.erased, more),
        last_error=None,
    )
    tell(connection, done, "customer erased", who=row.requested_by)
    return done


def _change(connection: Connection, row: Row[Any], **values: Any) -> Erasure:
    changed = connection.execute(
        update(erasures).where(erasures.c.id == row.id).values(**values).returning(*erasures.c)
    ).one()
    return erasure_of(changed)


def _sum(before: Mapping[str, int], more: Mapping[str, int]) -> dict[str, int]:
    total = Counter(before)
    total.update({name: rows for name, rows in more.items() if rows > 0})
    return dict(total)
