"""Schedules: which tasks come when. What comes of their times stands in `schedule_runs`.

All functions work inside the caller's transaction.
"""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, Connection, Row, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from fleet_workers.store import audit, cron
from fleet_workers.store.audit import AuditKind, Entry
from fleet_workers.store.schedule_models import (
    Change,
    NewSchedule,
    Schedule,
    ScheduleTaken,
    UnknownSchedule,
    checked_template,
)
from fleet_workers.store.timing_tables import schedules


def add(connection: Connection, new: NewSchedule, *, by: str) -> Schedule:
    """Make a schedule.

    Raises:
        InvalidInput: As `checked_template`.
        ScheduleTaken: Its name is taken.
    """
    template = checked_template(new)
    row = connection.execute(
        insert(schedules)
        .values(
            id=uuid4(),
            tenant=new.tenant,
            name=new.name,
            cron=new.cron,
            zone=new.zone,
            missed=new.missed,
            task=template,
            enabled=new.enabled,
            next_at=_next_at(new.cron, new.zone) if new.enabled else None,
            created_by=by,
        )
        .on_conflict_do_nothing()
        .returning(schedules)
    ).one_or_none()
    if row is None:
        raise ScheduleTaken(
            f"{new.tenant} has a schedule called {new.name!r}: change that one, or take another "
            "name."
        )
    added = read_row(row)
    note(connection, added, "added", by=by)
    return added


def listed(connection: Connection, *, tenant: str | None, limit: int) -> list[Schedule]:
    """Schedules by tenant and name. `tenant=None` sees all."""
    query = select(schedules).order_by(schedules.c.tenant, schedules.c.name).limit(limit)
    if tenant is not None:
        query = query.where(schedules.c.tenant == tenant)
    return [read_row(row) for row in connection.execute(query)]


def find(connection: Connection, schedule_id: UUID, *, tenant: str | None) -> Schedule:
    """One schedule. `tenant=None` sees all.

    Raises:
        UnknownSchedule: It does not exist, or belongs to another tenant.
    """
    return _found(connection, schedules.c.id == schedule_id, tenant, str(schedule_id))


def by_name(connection: Connection, name: str, *, tenant: str | None) -> Schedule:
    """One schedule by its name.

    Raises:
        UnknownSchedule: There is none, or several tenants have one of that name.
    """
    return _found(connection, schedules.c.name == name, tenant, repr(name))


def change(connection: Connection, schedule: Schedule, wanted: Change, *, by: str) -> Schedule:
    """Change a schedule. Its next time is reckoned from now: what was missed while off is missed.

    Raises:
        InvalidInput: As `checked_template`.
        UnknownSchedule: It was removed meanwhile.
    """
    new = NewSchedule(
        tenant=schedule.tenant,
        name=schedule.name,
        cron=schedule.cron if wanted.cron is None else wanted.cron,
        zone=schedule.zone if wanted.zone is None else wanted.zone,
        task=schedule.task if wanted.task is None else wanted.task,
        missed=schedule.missed if wanted.missed is None else wanted.missed,
        enabled=schedule.enabled if wanted.enabled is None else wanted.enabled,
    )
    template = checked_template(new)
    times = (new.cron, new.zone, new.enabled)
    reckoned = {}
    if times != (schedule.cron, schedule.zone, schedule.enabled):
        next_at = _next_at(new.cron, new.zone) if new.enabled else None
        reckoned = {"next_at": next_at, "reckoned_at": func.now(), "last_error": None}
    row = connection.execute(
        update(schedules)
        .where(schedules.c.id == schedule.id)
        .values(
            cron=new.cron,
            zone=new.zone,
            task=template,
            missed=new.missed,
            enabled=new.enabled,
            **reckoned,
        )
        .returning(schedules)
    ).one_or_none()
    if row is None:
        raise UnknownSchedule(f"The schedule {schedule.name!r} was removed meanwhile.")
    changed = read_row(row)
    if changed != schedule:
        what = "changed"
        if changed.enabled != schedule.enabled:
            what = "enabled" if changed.enabled else "disabled"
        note(connection, changed, what, by=by)
    return changed


def remove(connection: Connection, schedule: Schedule, *, by: str) -> bool:
    """Remove a schedule; tasks that it has made stay. Tells whether it was there."""
    removed = connection.execute(
        delete(schedules).where(schedules.c.id == schedule.id).returning(schedules.c.id)
    ).one_or_none()
    if removed is not None:
        note(connection, schedule, "removed", by=by)
    return removed is not None


def _next_at(text: str, zone: str) -> datetime | None:
    return cron.next_after(text, zone, datetime.now(UTC))


def _found(
    connection: Connection, condition: ColumnElement[bool], tenant: str | None, said: str
) -> Schedule:
    query = select(schedules).where(condition).limit(2)
    if tenant is not None:
        query = query.where(schedules.c.tenant == tenant)
    rows = connection.execute(query).all()
    if len(rows) > 1:
        raise UnknownSchedule(f"Several tenants have a schedule {said}: name the tenant, too.")
    if not rows:
        raise UnknownSchedule(f"No schedule {said} is known here.")
    return read_row(rows[0])


def note(
    connection: Connection, schedule: Schedule, what: str, *, by: str, task_id: UUID | None = None
) -> None:
    """Write down who did what with a schedule."""
    audit.add(
        connection,
        Entry(
            kind=AuditKind.SCHEDULE,
            who=by,
            what=f"schedule {what}",
            tenant=schedule.tenant,
            task_id=task_id,
            detail={
                "schedule": str(schedule.id),
                "name": schedule.name,
                "cron": schedule.cron,
                "zone": schedule.zone,
                "missed": schedule.missed,
                "agent": schedule.agent,
                "enabled": schedule.enabled,
            },
        ),
    )


def read_row(row: Row[*tuple[Any, ...]]) -> Schedule:
    """A row of the table; what else it holds is left out."""
    return Schedule.model_validate(dict(row._mapping))  # noqa: SLF001 the documented way to a dict
