"""Counts what waits for people and for workers, as notices tell it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from fleet_contracts.reviews import ReviewPriority
from fleet_workers.store.claims import MAY_RUN

_WAITING = text("""
SELECT tenant, "group",
    count(*) AS waiting,
    count(*) FILTER (WHERE created_at > :told_to AND NOT is_claimed) AS new,
    count(*) FILTER (WHERE due_at <= :seen_to) AS overdue,
    count(*) FILTER (WHERE due_at <= :seen_to AND due_at > :told_to) AS newly_overdue,
    count(*) FILTER (WHERE priority <= :urgent AND NOT is_claimed AND (
        created_at > :urgent_to OR (due_at <= :seen_to AND due_at > :urgent_to))) AS urgent,
    min(created_at) AS oldest_at
FROM (SELECT *, coalesce(claimed_until > :seen_to, false) AS is_claimed FROM reviews
      WHERE state = 'waiting' AND created_at <= :seen_to) AS reviews
WHERE (cardinality(CAST(:tenants AS text[])) = 0 OR tenant = ANY (CAST(:tenants AS text[])))
    AND (cardinality(CAST(:groups AS text[])) = 0 OR "group" = ANY (CAST(:groups AS text[])))
GROUP BY tenant, "group"
ORDER BY tenant, "group"
""")

_QUEUED = text(f"""
SELECT agent, count(*) AS queued
FROM tasks
WHERE state = 'queued' AND due_at IS NULL AND woken_at IS NOT NULL AND {MAY_RUN}
    AND (cardinality(CAST(:tenants AS text[])) = 0 OR tenant = ANY (CAST(:tenants AS text[])))
GROUP BY agent
""")  # noqa: S608 the condition is a constant

_RUNNING = text("SELECT DISTINCT agent FROM tasks WHERE state = 'running'")


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingGroup:
    """Reviews of one tenant and group that wait.

    `new` and `newly_overdue` are those since the last notice; `urgent` are urgent ones that no
    notice has told of. What somebody works on now is neither new nor urgent.
    """

    tenant: str
    group: str | None
    waiting: int
    new: int
    overdue: int
    newly_overdue: int
    urgent: int
    oldest_at: datetime


def waiting_groups(
    connection: Connection,
    *,
    seen_to: datetime,
    told_to: datetime,
    urgent_to: datetime,
    tenants: Sequence[str] = (),
    groups: Sequence[str] = (),
) -> list[WaitingGroup]:
    """What waited at `seen_to`, by tenant and group; empty `tenants` or `groups` are all.

    `told_to` and `urgent_to` are up to when the last notices have told.
    """
    rows = connection.execute(
        _WAITING,
        {
            "seen_to": seen_to,
            "told_to": told_to,
            "urgent_to": urgent_to,
            "tenants": list(tenants),
            "groups": list(groups),
            "urgent": int(ReviewPriority.URGENT),
        },
    )
    return [WaitingGroup(**row._mapping) for row in rows]  # noqa: SLF001 the documented way to a dict


def queued_by_agent(connection: Connection, *, tenants: Sequence[str] = ()) -> dict[str, int]:
    """Tasks by agent that a worker could take now: not paused, and their message is out."""
    rows = connection.execute(_QUEUED, {"tenants": list(tenants)})
    return {row.agent: row.queued for row in rows}


def agents_at_work(connection: Connection) -> frozenset[str]:
    """Agents of which a task runs now."""
    return frozenset(connection.execute(_RUNNING).scalars())
