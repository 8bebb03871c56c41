"""Tools that an operator has disabled: everywhere, for a tenant, or for an agent.

`*` stands for all tenants or agents. A change is announced with NOTIFY when it is committed.
"""

from datetime import datetime
from typing import Final

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects.postgresql import insert

from fleet_workers.store import audit
from fleet_workers.store.audit import AuditKind, Entry
from fleet_workers.store.tables import tool_switches

CHANNEL: Final = "fleet_tool_switches"
"""What a change is announced on; a notification says no more than that there is one."""


class Switch(BaseModel):
    """Which tool is disabled, for whom, since when, by whom and why."""

    model_config = ConfigDict(frozen=True)

    tool: str
    tenant: str
    agent: str
    reason: str
    disabled_by: str
    created_at: datetime

    def covers(self, tool: str, *, tenant: str, agent: str) -> bool:
        """Tell whether this agent may not call the tool for this tenant."""
        return self.tool == tool and self.tenant in {"*", tenant} and self.agent in {"*", agent}


def disable(
    connection: Connection, *, tool: str, tenant: str, agent: str, reason: str, disabled_by: str
) -> Switch:
    """Let no more calls of a tool begin. Disabling again keeps the first reason and time."""
    added = connection.execute(
        insert(tool_switches)
        .values(tool=tool, tenant=tenant, agent=agent, reason=reason, disabled_by=disabled_by)
        .on_conflict_do_nothing()
        .returning(tool_switches.c.tool)
    ).one_or_none()
    if added is not None:
        what = f"{tool} disabled"
        _note(connection, what, by=disabled_by, tenant=tenant, agent=agent, why=reason)
    announce(connection)
    found = connection.execute(
        select(tool_switches).where(
            tool_switches.c.tool == tool,
            tool_switches.c.tenant == tenant,
            tool_switches.c.agent == agent,
        )
    )
    return Switch.model_validate(dict(found.mappings().one()))


def enable(connection: Connection, *, tool: str, tenant: str, agent: str, enabled_by: str) -> bool:
    """Take one switch back; others that cover the same calls stay. Tells whether it was there."""
    removed = connection.execute(
        delete(tool_switches)
        .where(
            tool_switches.c.tool == tool,
            tool_switches.c.tenant == tenant,
            tool_switches.c.agent == agent,
        )
        .returning(tool_switches.c.tool)
    ).one_or_none()
    if removed is not None:
        _note(connection, f"{tool} enabled", by=enabled_by, tenant=tenant, agent=agent)
    announce(connection)
    return removed is not None


def all_switches(connection: Connection) -> list[Switch]:
    """Every tool that is disabled now, oldest first."""
    rows = connection.execute(
        select(tool_switches).order_by(tool_switches.c.created_at, tool_switches.c.tool)
    )
    return [Switch.model_validate(dict(row)) for row in rows.mappings()]


def _note(
    connection: Connection, what: str, *, by: str, tenant: str, agent: str, why: str = ""
) -> None:
    audit.add(
        connection,
        Entry(
            kind=AuditKind.SWITCH,
            who=by,
            what=what,
            why=why,
            tenant=None if tenant == "*" else tenant,
            detail={"agent": agent, "tenant": tenant},
        ),
    )


def announce(connection: Connection) -> None:
    """Tell every process, once this transaction commits, that what is allowed has changed."""
    connection.execute(select(func.pg_notify(CHANNEL, "")))
