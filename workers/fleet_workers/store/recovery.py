"""Finds tasks that nobody works on and makes them ready to be woken. Safe to run many at once."""

import json
from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    func,
    literal_column,
    select,
    text,
    update,
)

from fleet_contracts.errors import FleetError
from fleet_contracts.outcome import OutcomeKind
from fleet_contracts.states import OPEN_STATES, TaskState
from fleet_workers.store import dead_letters, reviews
from fleet_workers.store.claims import ITS_TURN, MAY_RUN
from fleet_workers.store.leases import PRESENCE_LOCKS
from fleet_workers.store.tables import tasks
from fleet_workers.telemetry.counting import count_ended

LONGEST_LEASE = timedelta(minutes=10)
"""No worker may ask for more, see the settings."""
_CLOCKS_AGREE = timedelta(minutes=1)  # a time further ahead was written by another clock
_LONGEST_WAIT = timedelta(days=2)  # no retry is due later, see Settlement
_STORE_SETTLES = "5 seconds"  # workers are present again within one second of a restart

_ABANDONED = text(f"""
SELECT id FROM tasks
WHERE state = 'running' AND (
    lease_until < now()
    OR lease_until > now() + :longest
    OR (silent_from < now()
        AND now() - pg_postmaster_start_time() > interval '{_STORE_SETTLES}'
        AND CAST(presence AS bigint) NOT IN (
            SELECT CAST(objid AS bigint) FROM pg_locks
            WHERE locktype = 'advisory' AND classid = CAST(:locks AS oid) AND objsubid = 2
                AND granted AND database = (
                    SELECT oid FROM pg_database WHERE datname = current_database()))))
LIMIT :limit FOR UPDATE SKIP LOCKED
""")  # noqa: S608 every part is a constant of this file

_HELD = text("""
SELECT tasks.id
FROM tasks JOIN unnest(CAST(:ids AS uuid[]), CAST(:epochs AS integer[])) AS held(id, epoch)
    ON tasks.id = held.id AND tasks.epoch = held.epoch
WHERE tasks.state = 'running'
FOR UPDATE OF tasks SKIP LOCKED
""")

_MAY_RUN = literal_column(MAY_RUN, Boolean)

_HELD_BY_NOBODY = {
    "epoch": tasks.c.epoch + 1,
    "worker": None,
    "presence": None,
    "lease_until": None,
    "silent_from": None,
}

_UNWOKEN = text(f"""
SELECT id FROM tasks
WHERE state = 'queued' AND woken_at IS NULL AND due_at IS NULL
    AND {MAY_RUN} AND {ITS_TURN}
ORDER BY created_at LIMIT :limit FOR UPDATE SKIP LOCKED
""")  # noqa: S608 as above


def _pick(connection: Connection, condition: ColumnElement[bool], limit: int) -> list[UUID]:
    return list(
        connection.execute(
            select(tasks.c.id).where(condition).limit(limit).with_for_update(skip_locked=True)
        ).scalars()
    )


def requeue_due(connection: Connection, *, limit: int) -> list[UUID]:
    """Queue tasks whose waiting time is over.

    A time further away than any wait was written before the clock was put back.
    """
    found = _pick(
        connection,
        (tasks.c.state == TaskState.RETRYING)
        & ((tasks.c.due_at <= func.now()) | (tasks.c.due_at > func.now() + _LONGEST_WAIT)),
        limit,
    )
    _queue(connection, found)
    return found


def requeue_abandoned(connection: Connection, *, limit: int) -> list[UUID]:
    """Queue running tasks whose worker died, or hangs.

    It hangs where the lease has ended. It died where its presence is gone and it has not renewed
    either for a while; not in the first seconds of the store itself, when nobody is present yet.
    A lease longer than any worker asks for was written before the clock was put back.
    """
    rows = connection.execute(
        _ABANDONED, {"limit": limit, "locks": PRESENCE_LOCKS, "longest": LONGEST_LEASE}
    )
    found = list(rows.scalars())
    _queue(connection, found, **_HELD_BY_NOBODY)
    return found


def requeue_held(connection: Connection, held: Mapping[UUID, int]) -> list[UUID]:
    """Queue running tasks whose holder gives them up, by their epochs."""
    rows = connection.execute(_HELD, {"ids": list(held), "epochs": list(held.values())})
    found = list(rows.scalars())
    _queue(connection, found, **_HELD_BY_NOBODY)
    return found


def requeue_unwoken(connection: Connection, *, limit: int) -> list[UUID]:
    """Give queued tasks whose message was used up, and which may run now."""
    found = list(connection.execute(_UNWOKEN, {"limit": limit}).scalars())
    _queue(connection, found)
    return found


def count_forgotten(connection: Connection, *, silence: timedelta) -> dict[str, int]:
    """By agent, the number of queued tasks that may run and that nobody claimed for `silence`."""
    rows = connection.execute(
        select(tasks.c.agent, func.count())
        .where(
            tasks.c.state == TaskState.QUEUED,
            tasks.c.due_at.is_(None),
            _is_silent(silence),
            _MAY_RUN,
        )
        .group_by(tasks.c.agent)
    )
    return {row[0]: row[1] for row in rows}


def requeue_forgotten(
    connection: Connection, *, agent: str, silence: timedelta, limit: int
) -> list[UUID]:
    """Give queued tasks of an agent that nobody claimed for `silence`, to be woken once more.

    Their message may be lost, or may only wait behind others: a second one does no harm.
    """
    found = _pick(
        connection,
        (tasks.c.state == TaskState.QUEUED)
        & tasks.c.due_at.is_(None)
        & (tasks.c.agent == agent)
        & _is_silent(silence)
        & _MAY_RUN,
        limit,
    )
    _queue(connection, found)
    return found


def _is_silent(silence: timedelta) -> ColumnElement[bool]:
    """A wake-up that lies ahead was written before the clock was put back."""
    woken_at = tasks.c.woken_at
    return (woken_at < func.now() - silence) | (woken_at > func.now() + _CLOCKS_AGREE)


def bury_broken(connection: Connection, task_id: UUID, *, error: FleetError) -> None:
    """Give up a queued task whose envelope in the store cannot be read, with a dead letter."""
    row = connection.execute(
        update(tasks)
        .where(tasks.c.id == task_id, tasks.c.state == TaskState.QUEUED)
        .values(
            state=TaskState.DEAD,
            last_error={"code": error.code, "message": str(error)},
            outcome={"kind": OutcomeKind.DEAD, "reason": str(error)},
            finished_at=func.now(),
        )
        .returning(tasks.c.tenant, tasks.c.agent, tasks.c.envelope, tasks.c.traceparent)
    ).one_or_none()
    if row is not None:
        count_ended(row.agent, TaskState.DEAD)
        dead_letters.add(
            connection,
            reason="corrupt_task",
            error=str(error),
            body=json.dumps(row.envelope),
            task_id=task_id,
            tenant=row.tenant,
            agent=row.agent,
            traceparent=row.traceparent,
        )


def expire_overdue(connection: Connection, *, limit: int) -> list[UUID]:
    """End open tasks whose deadline has passed; a running one stops before its next write."""
    found = _pick(
        connection,
        tasks.c.deadline.is_not(None)
        & tasks.c.state.in_(sorted(OPEN_STATES))
        & (tasks.c.deadline <= func.now()),
        limit,
    )
    if found:
        ended = connection.execute(
            update(tasks)
            .where(tasks.c.id.in_(found))
            .values(state=TaskState.EXPIRED, finished_at=func.now(), **_HELD_BY_NOBODY)
            .returning(tasks.c.agent)
        )
        for agent in ended.scalars():
            count_ended(agent, TaskState.EXPIRED)
        reviews.close(connection, found, why="expired")
    return found


def _queue(connection: Connection, found: list[UUID], **values: object) -> None:
    if found:
        connection.execute(
            update(tasks)
            .where(tasks.c.id.in_(found))
            .values(state=TaskState.QUEUED, woken_at=func.now(), due_at=None, **values)
        )
