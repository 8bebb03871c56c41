"""Agents and tenants whose tasks may not run for now. `*` stands for all of either."""

from collections.abc import Iterable
from datetime import datetime

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection, Row, delete, select
from sqlalchemy.dialects.postgresql import insert

from fleet_workers.store import audit
from fleet_workers.store.audit import AuditKind, Entry
from fleet_workers.store.tables import pauses

EVERY = "*"


class Pause(BaseModel):
    """What is paused, since when, by whom and why."""

    model_config = ConfigDict(frozen=True)

    agent: str
    tenant: str
    reason: str
    paused_by: str
    created_at: datetime

    def covers(self, *, agent: str, tenant: str) -> bool:
        """Tell whether tasks of this agent and tenant may not run."""
        return self.agent in {EVERY, agent} and self.tenant in {EVERY, tenant}


def pause(connection: Connection, *, agent: str, tenant: str, reason: str, paused_by: str) -> Pause:
    """Let no more tasks start, and those that run stop before their next step.

    Pausing again keeps the first reason and time.
    """
    added = connection.execute(
        insert(pauses)
        .values(agent=agent, tenant=tenant, reason=reason, paused_by=paused_by)
        .on_conflict_do_nothing()
        .returning(pauses.c.agent)
    ).one_or_none()
    if added is not None:
        _note(connection, "paused", by=paused_by, agent=agent, tenant=tenant, why=reason)
    return _pause(
        connection.execute(
            select(pauses).where(pauses.c.agent == agent, pauses.c.tenant == tenant)
        ).one()
    )


def resume(connection: Connection, *, agent: str, tenant: str, resumed_by: str) -> bool:
    """Let tasks run again; the janitor wakes them. Tells whether there was such a pause."""
    removed = connection.execute(
        delete(pauses)
        .where(pauses.c.agent == agent, pauses.c.tenant == tenant)
        .returning(pauses.c.agent)
    ).one_or_none()
    if removed is not None:
        _note(connection, "resumed", by=resumed_by, agent=agent, tenant=tenant)
    return removed is not None


def all_pauses(connection: Connection) -> list[Pause]:
    """Everything that is paused now, oldest first."""
    rows = connection.execute(select(pauses).order_by(pauses.c.created_at))
    return [_pause(row) for row in rows]


def is_covered(paused: Iterable[Pause], *, agent: str, tenant: str) -> bool:
    """Tell whether any of the pauses covers tasks of this agent and tenant."""
    return any(each.covers(agent=agent, tenant=tenant) for each in paused)


def _note(
    connection: Connection, what: str, *, by: str, agent: str, tenant: str, why: str = ""
) -> None:
    audit.add(
        connection,
        Entry(
            kind=AuditKind.PAUSE,
            who=by,
            what=what,
            why=why,
            tenant=None if tenant == EVERY else tenant,
            detail={"agent": agent, "tenant": tenant},
        ),
    )


def _pause(row: Row[*tuple[object, ...]]) -> Pause:
    return Pause.model_validate(dict(row._mapping))  # noqa: SLF001 the documented way to a dict
