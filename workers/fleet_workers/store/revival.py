"""Brings a dead task back: queued again with its journal as it stands, so that nothing repeats."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, func, select, update

from fleet_contracts.states import TaskState
from fleet_workers.store.tables import tasks


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFacts:
    """What decides whether a task can be brought back."""

    id: UUID
    tenant: str
    agent: str
    state: TaskState
    content_hash: str
    deadline: datetime | None


def facts_of(connection: Connection, task_id: UUID) -> TaskFacts | None:
    """How a task stands now, or None where there is none."""
    columns = tasks.c
    row = connection.execute(
        select(
            columns.id,
            columns.tenant,
            columns.agent,
            columns.state,
            columns.content_hash,
            columns.deadline,
        ).where(columns.id == task_id)
    ).one_or_none()
    if row is None:
        return None
    return TaskFacts(
        id=row.id,
        tenant=row.tenant,
        agent=row.agent,
        state=TaskState(row.state),
        content_hash=row.content_hash,
        deadline=row.deadline,
    )


def revive(connection: Connection, task_id: UUID) -> bool:
    """Queue a dead task with fresh attempts; False where it is not dead.

    Its journal and its last error stay. Its epoch rises: whoever held it can write nothing.
    """
    changed = connection.execute(
        update(tasks)
        .where(tasks.c.id == task_id, tasks.c.state == TaskState.DEAD)
        .values(
            state=TaskState.QUEUED,
            epoch=tasks.c.epoch + 1,
            attempts=0,
            deliveries=0,
            worker=None,
            presence=None,
            lease_until=None,
            silent_from=None,
            due_at=None,
            outcome=None,
            finished_at=None,
            woken_at=func.now(),
        )
        .returning(tasks.c.id)
    ).scalar()
    return changed is not None
