"""Closes reservations that nobody will settle any more: those of tasks that have ended."""

from datetime import timedelta
from typing import Final

from sqlalchemy import ColumnElement, Connection, Text, and_, cast, exists, func, or_, select

from fleet_contracts.states import TaskState
from fleet_workers.store import spend
from fleet_workers.store.journal_rows import StepKind
from fleet_workers.store.money_tables import spend_entries
from fleet_workers.store.tables import steps, tasks

_PLAN: Final = ":plan:"
"""What keys of model calls hold after the task's id, before the step's number. A smaller question
that was asked in place of another has a word more behind that."""

_FINAL: Final = (
    TaskState.SUCCEEDED,
    TaskState.REJECTED,
    TaskState.CANCELLED,
    TaskState.EXPIRED,
)


def close_left_open(connection: Connection, *, older_than: timedelta, limit: int) -> int:
    """Close what is reserved for tasks that ended longer ago; gives the number of calls.

    A call that was begun may have cost or moved something: it stays counted as reserved, and is
    spent. One whose step was never begun is given back. Of a dead task, which may come back, only
    model calls are closed: a person may still say of a tool's call that it was not done.
    """
    entry = spend_entries.c
    is_plan = entry.key.contains(_PLAN)
    ended = or_(tasks.c.state.in_(_FINAL), and_(tasks.c.state == TaskState.DEAD, is_plan))
    found = connection.execute(
        select(entry.key, _was_begun(is_plan).label("begun"))
        .join(tasks, tasks.c.id == entry.task_id)
        .where(entry.state == "reserved", ended, tasks.c.finished_at < func.now() - older_than)
        .order_by(entry.key)
        .limit(limit)
        .with_for_update(of=spend_entries, skip_locked=True)
    ).all()
    for row in found:
        close = spend.settle if row.begun else spend.give_back
        close(connection, row.key)
    return len({row.key for row in found})


def _was_begun(is_plan: ColumnElement[bool]) -> ColumnElement[bool]:
    entry = spend_entries.c
    number = func.split_part(func.split_part(entry.key, _PLAN, 2), ":", 1)
    plan = and_(is_plan, steps.c.kind == StepKind.PLAN, cast(steps.c.seq, Text) == number)
    tool = and_(steps.c.kind == StepKind.TOOL, steps.c.request["key"].astext == entry.key)
    return exists().where(steps.c.task_id == entry.task_id, or_(plan, tool))
