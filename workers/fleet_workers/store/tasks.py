"""The life of a task as conditional updates: accept, claim, and every way out of `running`.

All functions work inside the caller's transaction. Writes of a worker name the epoch that its
claim raised and fail with `LeaseLost` once a newer claim exists.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, and_, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from fleet_contracts.envelope import TaskEnvelope
from fleet_contracts.errors import Conflict, LeaseLost
from fleet_contracts.outcome import Outcome
from fleet_contracts.states import OPEN_STATES, TaskState
from fleet_workers.store.tables import tasks


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to work on a task until the lease ends. `deliveries` counts claims so far."""

    task_id: UUID
    epoch: int
    agent: str
    deliveries: int
    attempts: int
    traceparent: str | None


def accept(connection: Connection, envelope: TaskEnvelope, *, traceparent: str | None) -> bool:
    """Record a task as queued; tells whether it is new.

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
            woken_at=func.now(),
        )
        .on_conflict_do_nothing()
        .returning(tasks.c.id)
    ).scalar()
    if inserted is not None:
        return True
    known = connection.execute(
        select(tasks.c.content_hash).where(tasks.c.id == envelope.id)
    ).scalar_one()
    if known != envelope.content_hash:
        key = envelope.idempotency_key
        what = f"The idempotency key {key!r}" if key else f"The task id {envelope.id}"
        raise Conflict(
            f"{what} was used before with other content: "
            "use a new one for a new request, or send the first content again."
        )
    return False


def claim(connection: Connection, task_id: UUID, *, worker: str, lease: timedelta) -> Claim | None:
    """Take a task that is queued, or that runs under a lease which has ended.

    Gives None where somebody holds it, or where it is not to be worked on now.
    """
    row = connection.execute(
        update(tasks)
        .where(
            tasks.c.id == task_id,
            or_(
                tasks.c.state == TaskState.QUEUED,
                and_(tasks.c.state == TaskState.RUNNING, tasks.c.lease_until < func.now()),
            ),
        )
        .values(
            state=TaskState.RUNNING,
            epoch=tasks.c.epoch + 1,
            deliveries=tasks.c.deliveries + 1,
            worker=worker,
            lease_until=func.now() + lease,
            started_at=func.coalesce(tasks.c.started_at, func.now()),
            due_at=None,
        )
        .returning(
            tasks.c.epoch,
            tasks.c.agent,
            tasks.c.deliveries,
            tasks.c.attempts,
            tasks.c.traceparent,
        )
    ).one_or_none()
    if row is None:
        return None
    return Claim(
        task_id=task_id,
        epoch=row.epoch,
        agent=row.agent,
        deliveries=row.deliveries,
        attempts=row.attempts,
        traceparent=row.traceparent,
    )


def renew(connection: Connection, held: Mapping[UUID, int], *, lease: timedelta) -> set[UUID]:
    """Lengthen many leases at once; gives the tasks that are still held."""
    if not held:
        return set()
    pairs = select(
        func.unnest(literal(list(held))).label("id"),
        func.unnest(literal(list(held.values()))).label("epoch"),
    ).subquery()
    rows = connection.execute(
        update(tasks)
        .where(
            tasks.c.id == pairs.c.id,
            tasks.c.epoch == pairs.c.epoch,
            tasks.c.state == TaskState.RUNNING,
        )
        .values(lease_until=func.now() + lease)
        .returning(tasks.c.id)
    )
    return {row.id for row in rows}


def _leave_running(connection: Connection, held: Claim, **values: Any) -> None:
    changed = connection.execute(
        update(tasks)
        .where(
            tasks.c.id == held.task_id,
            tasks.c.epoch == held.epoch,
            tasks.c.state == TaskState.RUNNING,
        )
        .values(worker=None, lease_until=None, **values)
        .returning(tasks.c.id)
    ).scalar()
    if changed is None:
        raise LeaseLost(f"Task {held.task_id} is held by another worker, or was cancelled.")


def succeed(connection: Connection, held: Claim, *, outcome: Outcome, release: str) -> None:
    """End a task with its result."""
    _leave_running(
        connection,
        held,
        state=TaskState.SUCCEEDED,
        outcome=outcome.model_dump(mode="json"),
        release=release,
        finished_at=func.now(),
    )


def park(connection: Connection, held: Claim, *, outcome: Outcome, release: str | None) -> None:
    """Put a task before a person. It holds nothing while it waits."""
    _leave_running(
        connection,
        held,
        state=TaskState.IN_REVIEW,
        outcome=outcome.model_dump(mode="json"),
        release=release,
    )


def retry_later(
    connection: Connection,
    held: Claim,
    *,
    delay: timedelta,
    error: Mapping[str, Any],
    counts: bool = True,
) -> None:
    """Let a task wait for its next attempt; where `counts`, this one is used up."""
    _leave_running(
        connection,
        held,
        state=TaskState.RETRYING,
        attempts=held.attempts + counts,
        due_at=func.now() + delay,
        deliveries=0,
        last_error=dict(error),
    )


def bury(
    connection: Connection, held: Claim, *, outcome: Outcome, error: Mapping[str, Any]
) -> None:
    """Give a task up. The caller writes the dead letter in the same transaction."""
    _leave_running(
        connection,
        held,
        state=TaskState.DEAD,
        outcome=outcome.model_dump(mode="json"),
        last_error=dict(error),
        finished_at=func.now(),
    )


def hand_back(connection: Connection, held: Claim, *, agent: str | None = None) -> None:
    """Queue a task again without counting an attempt, for `agent` where one is named."""
    _leave_running(
        connection,
        held,
        state=TaskState.QUEUED,
        woken_at=func.now(),
        deliveries=0,
        **({"agent": agent} if agent else {}),
    )


def expire(connection: Connection, held: Claim) -> None:
    """End a task whose deadline has passed."""
    _leave_running(connection, held, state=TaskState.EXPIRED, finished_at=func.now())


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
            lease_until=None,
            finished_at=func.now(),
        )
        .returning(tasks.c.id)
    ).scalar()
    return changed is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class WakeUp:
    """What a message needs that sends a worker to a stored task."""

    envelope: Mapping[str, Any]
    agent: str
    traceparent: str | None


def wake_up(connection: Connection, task_id: UUID) -> WakeUp:
    """What to send for a task that stands in the store."""
    row = connection.execute(
        select(tasks.c.envelope, tasks.c.agent, tasks.c.traceparent).where(tasks.c.id == task_id)
    ).one()
    return WakeUp(envelope=row.envelope, agent=row.agent, traceparent=row.traceparent)
