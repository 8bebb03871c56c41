"""What the store knows of a task's trace, and of runs that ended without a word."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text

_BEGIN = text("""
UPDATE tasks SET traceparent = :traceparent
WHERE id = :id AND epoch = :epoch AND traceparent IS NULL
""")

_LOST = text("""
SELECT tasks.id, tasks.tenant, tasks.agent, tasks.traceparent, tasks.epoch - 1 AS epoch,
    COALESCE(
        (SELECT min(COALESCE(steps.finished_at, steps.started_at)) FROM steps
         WHERE steps.task_id = tasks.id AND steps.epoch = tasks.epoch - 1),
        now()
    ) AS began
FROM tasks
WHERE tasks.id = ANY(CAST(:ids AS uuid[])) AND tasks.traceparent IS NOT NULL
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class LostRun:
    """A run whose worker is gone. It `began` no later than this."""

    task_id: UUID
    tenant: str
    agent: str
    epoch: int
    traceparent: str
    began: datetime


def begin_trace(connection: Connection, task_id: UUID, epoch: int, traceparent: str) -> None:
    """Keep the trace that a task's run of this epoch begins, where the task has none."""
    connection.execute(_BEGIN, {"id": task_id, "epoch": epoch, "traceparent": traceparent})


def lost_runs(connection: Connection, task_ids: Sequence[UUID]) -> list[LostRun]:
    """The runs that were taken from their workers just now, in this transaction.

    Taking a task from its worker raises the epoch by one.
    """
    rows = connection.execute(_LOST, {"ids": list(task_ids)}) if task_ids else ()
    return [
        LostRun(
            task_id=row.id,
            tenant=row.tenant,
            agent=row.agent,
            epoch=row.epoch,
            traceparent=row.traceparent,
            began=row.began,
        )
        for row in rows
    ]
