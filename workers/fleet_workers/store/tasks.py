"""Takes tasks in and cancels them; claims and endings have files of their own.

All functions work inside the caller's transaction.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, func, select, update
from sqlalchemy.dialects.postgresql import insert

from fleet_contracts.envelope import TaskEnvelope
from fleet_contracts.errors import Conflict
from fleet_contracts.states import OPEN_STATES, TaskState
from fleet_workers.store.tables import tasks


def accept(
    connection: Connection,
    envelope: TaskEnvelope,
    *,
    traceparent: str | None,
    submitted_at: datetime | None = None,
) -> bool:
    """Record a task as queued; tells whether it is new.

    `submitted_at` orders the tasks of a session; now, where none is given or it lies ahead.

    Raises:
        Conflict: The id or idempotency key stands for a task with other content.
    """
    inserted = connection.execute(
        insert(tasks)
        .values(
            id=envelope.id,
            tenant=envelope.tenant,
            agent=envelope.agent,
            requested_agent=envelope.agent,
            state=TaskState.QUEUED,
            customer=envelope.customer,
            session_id=envelope.session_id,
            envelope=envelope.to_dict(),
            content_hash=envelope.content_hash,
            traceparent=traceparent,
            deadline=envelope.deadline,
            submitted_at=func.now()
            if submitted_at is None
            else func.least(func.now(), submitted_at),
            woken_at=func.now(),
        )
        .on_conflict_do_nothing()
        .returning(tasks.c.id)
    ).scalar()
    if inserted is not None:
        return True
    known = connection.execute(
        select(tasks.c.content_hash).where(tasks.c.id == envelope.id)
    ).scalar()  # None where the id is another tenant's, which this one may not see
    if known != envelope.content_hash:
        key = envelope.idempotency_key
        what = f"The idempotency key {key!r}" if key else f"The task id {envelope.id}"
        raise Conflict(
            f"{what} was used before with other content: "
            "use a new one for a new request, or send the first content again."
        )
    return False


def cancel(connection: Connection, task_id: UUID, *, tenant: str) -> bool:
    """Cancel an open task; a running one stops before its next write, as its epoch is raised."""
    changed = connection.execute(
        update(tasks)
        .where(
            tasks.c.id == task_id,
            tasks.c.tenant == tenant,
            tasks.c.state.in_(sorted(OPEN_STATES)),
        )
        .values(
            state=TaskState.CANCELLED,
            epoch=tasks.c.epoch + 1,
            worker=None,
            presence=None,
            lease_until=None,
            silent_from=None,
            finished_at=func.now(),
        )
        .returning(tasks.c.id)
    ).scalar()
    return changed is not None


def mark_unwoken(connection: Connection, task_id: UUID) -> None:
    """Note that a queued task has no message: it is paused, or not its turn in its session."""
    connection.execute(
        update(tasks)
        .where(tasks.c.id == task_id, tasks.c.state == TaskState.QUEUED)
        .values(woken_at=None)
    )
