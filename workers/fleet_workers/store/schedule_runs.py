"""What comes of a schedule's times: each time one task, however many janitors look for them.

A time's task has an id that follows from schedule and time, so that a time fires once even where a
clock is put back. All functions work inside the caller's transaction.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, Connection, func, select, update

from fleet_contracts.envelope import TaskEnvelope
from fleet_contracts.errors import Conflict
from fleet_workers.store import outbox, put_off, tasks
from fleet_workers.store.outbox import Letter
from fleet_workers.store.schedule_models import Schedule
from fleet_workers.store.schedules import note, read_row
from fleet_workers.store.timing_tables import schedules

_CLOCKS_AGREE = timedelta(minutes=1)  # a time further ahead was written by another clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Fired:
    """The task of a time. `is_new` is false where that time had come before."""

    task_id: UUID
    is_new: bool
    letters: list[Letter] = field(default_factory=list)


def run_now(connection: Connection, schedule: Schedule, *, by: str) -> Fired:
    """Make the task of a schedule now, whatever its times are, and whether or not it is enabled."""
    key = f"schedule/{schedule.id}/run/{uuid4()}"
    fired = _take_in(connection, schedule.envelope_at(datetime.now(UTC), key=key))
    note(connection, schedule, "run by hand", by=by, task_id=fired.task_id)
    return fired


def fire(connection: Connection, schedule: Schedule, time: datetime) -> Fired:
    """Make the task of one time, unless that time had come before.

    Raises:
        InvalidEnvelope: The template is wrong by now.
    """
    envelope = schedule.envelope_at(time)
    try:
        return _take_in(connection, envelope)
    except Conflict:  # it came before the schedule was changed
        return Fired(task_id=envelope.id, is_new=False)


def lock_due(connection: Connection, *, limit: int) -> list[tuple[Schedule, datetime]]:
    """Schedules whose time has come, each with the store's time. Nobody else has them meanwhile."""
    return _lock(connection, schedules.c.next_at <= func.now(), limit)


def lock_misreckoned(connection: Connection, *, limit: int) -> list[tuple[Schedule, datetime]]:
    """As `lock_due`: those whose next time was reckoned by a clock that was put back since."""
    return _lock(connection, schedules.c.reckoned_at > func.now() + _CLOCKS_AGREE, limit)


def go_on(
    connection: Connection,
    schedule: Schedule,
    *,
    next_at: datetime | None,
    fired: tuple[datetime, UUID] | None = None,
    error: str | None = None,
) -> None:
    """Write what came of the times so far, and when the next one is. The row is the caller's."""
    last = {} if fired is None else {"last_at": fired[0], "last_task": fired[1]}
    connection.execute(
        update(schedules)
        .where(schedules.c.id == schedule.id)
        .values(next_at=next_at, reckoned_at=func.now(), last_error=error, **last)
    )


def _take_in(connection: Connection, envelope: TaskEnvelope) -> Fired:
    if not tasks.accept(connection, envelope, traceparent=None):
        return Fired(task_id=envelope.id, is_new=False)
    if put_off.waits(connection, envelope):
        return Fired(task_id=envelope.id, is_new=True)
    letter = outbox.post_task(connection, envelope, agent=envelope.agent, traceparent=None)
    return Fired(task_id=envelope.id, is_new=True, letters=[letter])


def _lock(
    connection: Connection, condition: ColumnElement[bool], limit: int
) -> list[tuple[Schedule, datetime]]:
    query = (
        select(schedules, func.now().label("now"))
        .where(schedules.c.enabled, condition)
        .order_by(schedules.c.next_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [(read_row(row), row.now) for row in connection.execute(query)]
