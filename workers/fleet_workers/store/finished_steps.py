"""Journals of tasks that are over: moved out of the way of work, and read where they went."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Row, select, text, union_all
from sqlalchemy.dialects.postgresql import insert as upsert

from fleet_workers.store.desk_tables import chore_marks
from fleet_workers.store.partitions import Month, make_month
from fleet_workers.store.retention_tables import finished_steps
from fleet_workers.store.tables import steps

SETTLED: Final = timedelta(days=1)
"""So long after its end a task's journal is still where workers write: late results, and chores
that go through what ended, find it there."""

_MARK: Final = "finished_steps"
_BEGINNING: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
_JOURNALS: Final = 7_461_202_614  # any number that only journals on the move use
_TRY_LOCK: Final = text("SELECT pg_try_advisory_xact_lock(:key)")
_LOCK: Final = text("SELECT pg_advisory_xact_lock(:key)")
# Chores that count what ended read steps, too: what they have not seen stays.
_NEXT: Final = text("""
SELECT t.id, t.tenant, t.finished_at,
    t.state IN ('succeeded', 'rejected', 'cancelled', 'expired')
        AND NOT EXISTS (SELECT FROM spend_entries AS e
                        WHERE e.task_id = t.id AND e.state = 'reserved') AS movable
FROM tasks AS t
WHERE t.finished_at IS NOT NULL AND (t.finished_at, t.id) > (:at, CAST(:id AS uuid))
    AND t.finished_at < now() - CAST(:settled AS interval)
    AND t.finished_at <= COALESCE((SELECT min(m.at) FROM chore_marks AS m
                                   WHERE m.name = 'quality.tasks'), 'infinity')
ORDER BY t.finished_at, t.id
LIMIT :limit
""")
_COLUMNS: Final = ", ".join(column.name for column in steps.c)
_MOVE: Final = text(f"""
WITH ended AS (
    SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:tenants AS text[]),
        CAST(:ends AS timestamptz[])) AS e(id, tenant, ended_at)
), moved AS (
    DELETE FROM steps USING ended WHERE steps.task_id = ended.id
    RETURNING steps.*, ended.tenant, ended.ended_at
)
INSERT INTO finished_steps ({_COLUMNS}, tenant, ended_at)
SELECT {_COLUMNS}, tenant, ended_at FROM moved
ON CONFLICT DO NOTHING
""")  # noqa: S608 names of columns come from the table


def move_some(connection: Connection, *, limit: int, settled: timedelta = SETTLED) -> int:
    """Move the journals of the next tasks that ended, oldest first; gives how many were looked at.

    Stay where they are: journals of dead tasks, which may be replayed, and of tasks with money
    still reserved. 0 where another process moves at this moment.
    """
    if not connection.execute(_TRY_LOCK, {"key": _JOURNALS}).scalar_one():
        return 0
    at, last_id = _mark(connection)
    rows = connection.execute(
        _NEXT, {"at": at, "id": last_id, "settled": settled, "limit": limit}
    ).all()
    if not rows:
        return 0
    movable = [row for row in rows if row.movable]
    for month in sorted({Month.of(row.finished_at) for row in movable}):
        make_month(connection, finished_steps.name, "ended_at", month)
    connection.execute(
        _MOVE,
        {
            "ids": [row.id for row in movable],
            "tenants": [row.tenant for row in movable],
            "ends": [row.finished_at for row in movable],
        },
    )
    last = {"at": rows[-1].finished_at, "id": rows[-1].id}
    connection.execute(
        upsert(chore_marks)
        .values(name=_MARK, **last)
        .on_conflict_do_update(index_elements=[chore_marks.c.name], set_=last)
    )
    return len(rows)


def hold_journals(connection: Connection) -> None:
    """Let no journal be moved until this transaction ends; waits for one that is under way."""
    connection.execute(_LOCK, {"key": _JOURNALS})


def rows_of(connection: Connection, task_id: UUID) -> Sequence[Row[Any]]:
    """The rows of a journal in order, wherever it is: of a task at work, in one look.

    They move all at once and only from `steps` to `finished_steps`.
    """
    query = select(steps).where(steps.c.task_id == task_id).order_by(steps.c.seq)
    found = connection.execute(query).all()
    if found and found[0].seq == 0:
        return found
    moved = connection.execute(
        select(*(finished_steps.c[column.name] for column in steps.c))
        .where(finished_steps.c.task_id == task_id)
        .order_by(finished_steps.c.seq)
    ).all()
    return [*moved, *found]


def among(task_ids: Collection[UUID]) -> Any:
    """A subquery with the columns of `steps`: the rows of these tasks, wherever they are."""
    moved = select(*(finished_steps.c[column.name] for column in steps.c))
    return union_all(
        select(steps).where(steps.c.task_id.in_(task_ids)),
        moved.where(finished_steps.c.task_id.in_(task_ids)),
    ).subquery()


def _mark(connection: Connection) -> tuple[datetime, UUID]:
    row = connection.execute(
        select(chore_marks.c.at, chore_marks.c.id).where(chore_marks.c.name == _MARK)
    ).one_or_none()
    return (_BEGINNING, UUID(int=0)) if row is None else (row.at, row.id or UUID(int=0))
