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
from fleet_workers.store import debounce, put_off
from fleet_workers.store.ranks import yield_of
from fleet_workers.store.tables import tasks
from fleet_workers.telemetry.counting import count_ended, count_taken_in


def accept(
    connection: Connection,
    envelope: TaskEnvelope,
    *,
    traceparent: str | None,
    submitted_at: datetime | None = None,
) -> bool:
    """Record a task as queued; tells whether it is new.

    One that has to wait for its time is put off, and replaces the earlier one of its debounce key.
    `submitted_at` orders the tasks of a session; now, where none is given or it lies ahead.

    Raises:
        Conflict: The id or idempotency key stands for a task with other content.
    """
    # Of a bulk, which is one transaction, the last with a debounce key counts.
    now = func.now() if envelope.debounce_key is None else func.clock_timestamp()
    submitted = now if submitted_at is None else func.least(now, submitted_at)
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
            due_at=put_off.first_due_at(envelope),
            submitted_at=submitted,
            rank_at=submitted + yield_of(envelope.priority),
            woken_at=func.now(),
        )
        .on_conflict_do_nothing()
        .returning(tasks.c.id)
    ).scalar()
    if inserted is not None:
        if envelope.debounce_key is not None:
            debounce.settle_new(connection, envelope)
        count_taken_in(envelope.agent)
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
        .returning(tasks.c.agent)
    ).scalar()
    if changed is not None:
        count_ended(changed, TaskState.CANCELLED)
    return changed is not None


def mark_unwoken(connection: Connection, task_id: UUID) -> None:
    """Note that a queued task has no message: it is paused, or not its turn in its session."""
    connection.execute(
        update(tasks)
        .where(
            tasks.c.id == task_id,
            tasks.c.state == TaskState.QUEUED,
            tasks.c.due_at.is_(None),  # one that is put off is woken when it is due
        )
        .values(woken_at=None)
    )
