"""Gives tasks another chance: dead ones with their journal, and those that a broker gave up."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, func, select, update

from fleet_contracts.envelope import TaskEnvelope
from fleet_contracts.states import TaskState
from fleet_workers.store.tables import tasks
from fleet_workers.store.tasks import accept


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


def accept_suspect(
    connection: Connection, envelope: TaskEnvelope, *, traceparent: str | None
) -> bool:
    """Queue a task whose message came to nothing again and again; False where it is known.

    Its deliveries stand at two, so that the next one runs in a process of its own.

    Raises:
        Conflict: The id stands for a task with other content.
    """
    if not accept(connection, envelope, traceparent=traceparent):
        return False
    connection.execute(update(tasks).where(tasks.c.id == envelope.id).values(deliveries=2))
    return True
