"""Keeps the tasks of one session in order: one at a time, by the time they were submitted."""

from sqlalchemy import Connection, text

from fleet_contracts.envelope import TaskEnvelope
from fleet_workers.store import outbox
from fleet_workers.store.claims import HOLDS_ITS_SESSION
from fleet_workers.store.outbox import Letter

_LOCK = text("""
SELECT pg_advisory_xact_lock(hashtextextended(:tenant || chr(31) || :session_id, 0))
""")
_NEXT = text(f"""
UPDATE tasks SET woken_at = now()
WHERE id = (
    SELECT id FROM tasks
    WHERE tenant = :tenant AND session_id = :session_id
        AND state IN ('queued', 'running', 'retrying', 'in_review')
        AND {HOLDS_ITS_SESSION.format(task="tasks")}
    ORDER BY submitted_at, id LIMIT 1
) AND state = 'queued'
RETURNING id
""")  # noqa: S608 every part is a constant


def lock(connection: Connection, envelope: TaskEnvelope) -> None:
    """Let no other transaction claim a task of this session until this one ends."""
    connection.execute(_LOCK, {"tenant": envelope.tenant, "session_id": envelope.session_id})


def wake_next(connection: Connection, envelope: TaskEnvelope) -> list[Letter]:
    """After a task of a session has ended: the letter that wakes the next one, if one waits."""
    if envelope.session_id is None:
        return []
    found = connection.execute(
        _NEXT, {"tenant": envelope.tenant, "session_id": envelope.session_id}
    ).scalar()
    return [] if found is None else outbox.wake(connection, [found])
