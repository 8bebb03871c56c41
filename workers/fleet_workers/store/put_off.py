"""Tasks that wait for their time: delayed ones, and those that a later one may still replace.

Such a task is queued with `due_at`, and no worker takes it. When it is due, a janitor takes
`due_at` away and wakes it. All functions work inside the caller's transaction.
"""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, case, func, literal, select, text

from fleet_contracts.envelope import TaskEnvelope
from fleet_contracts.states import TaskState
from fleet_workers.store import debounce
from fleet_workers.store.tables import tasks

_LONG_AGO = timedelta(days=1)  # further back no clock stands; far back PostgreSQL has no times

_MAKE_DUE = text("""
UPDATE tasks SET due_at = NULL, woken_at = now(), submitted_at = due.stands_at,
    rank_at = rank_at + (due.stands_at - submitted_at)
FROM (
    SELECT id, GREATEST(submitted_at, LEAST(due_at, now())) AS stands_at FROM tasks
    WHERE state = 'queued' AND due_at IS NOT NULL AND (id = ANY(CAST(:settled AS uuid[]))
        OR (due_at <= now() AND NOT envelope ? 'debounce_key'))
    ORDER BY due_at LIMIT :limit FOR UPDATE SKIP LOCKED
) AS due
WHERE tasks.id = due.id
RETURNING tasks.id
""")

_SUCCESSOR = text("""
WITH RECURSIVE chain (id, next, place) AS (
    SELECT id, CAST(outcome ->> 'replaced_by' AS uuid), 0 FROM tasks WHERE id = :id
    UNION ALL
    SELECT tasks.id, CAST(tasks.outcome ->> 'replaced_by' AS uuid), place + 1
    FROM chain JOIN tasks ON tasks.id = chain.next
)
SELECT id FROM chain ORDER BY place DESC LIMIT 1
""")


def _starts_at(envelope: TaskEnvelope) -> datetime | None:
    """The time before which a task may not start, where that is not long over."""
    start = envelope.not_before
    return start if start is not None and start > datetime.now(UTC) - _LONG_AGO else None


def first_due_at(envelope: TaskEnvelope) -> ColumnElement[datetime] | None:
    """`due_at` of a task that is being recorded: NULL where it may run at once."""
    if envelope.debounce_key is not None:
        return debounce.first_due_at(envelope)
    start = _starts_at(envelope)
    return None if start is None else case((literal(start) > func.now(), literal(start)))


def waits(connection: Connection, envelope: TaskEnvelope) -> bool:
    """Tell whether a task in the store waits for its time, or was replaced: it needs no message."""
    if not envelope.is_timed:
        return False
    row = connection.execute(
        select(tasks.c.state, tasks.c.due_at).where(tasks.c.id == envelope.id)
    ).one_or_none()
    return row is not None and (row.due_at is not None or row.state != TaskState.QUEUED)


def make_due(connection: Connection, *, limit: int) -> list[UUID]:
    """Queue tasks whose time has come for a worker; give them, to be woken.

    In their session, and among their tenant's, they stand as if submitted when they were due.
    """
    settled = debounce.settle_due(connection, limit=limit)
    rows = connection.execute(_MAKE_DUE, {"limit": limit, "settled": settled})
    return list(rows.scalars())


def successor_of(connection: Connection, task_id: UUID) -> UUID:
    """The task that stands in the place of a replaced one now: the last of its chain."""
    found: UUID = connection.execute(_SUCCESSOR, {"id": task_id}).scalar_one()
    return found
