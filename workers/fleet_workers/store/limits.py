"""Limits of tenants and agents: how many run at once, how many start in a span, and weights.

A row is about a tenant, an agent, or a pair of them; `*` stands for any. Claims read the rows
themselves, so a limit holds from the commit that sets it.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection, Row, delete, func, select, text
from sqlalchemy.dialects.postgresql import insert

from fleet_contracts.errors import InvalidInput
from fleet_workers.store import audit
from fleet_workers.store.audit import AuditKind, Entry
from fleet_workers.store.limit_tables import limits

EVERY: Final = "*"
MOST_WEIGHT: Final = 1000.0
_LOOK_AGAIN_SECONDS = 0.2  # a place that another process gives back is found within this time

COVERED = """
EXISTS (SELECT FROM limits WHERE limits.tenant IN ('*', {task}.tenant)
    AND limits.agent IN ('*', {task}.agent)
    AND (limits.concurrency IS NOT NULL OR limits.starts IS NOT NULL))
"""
"""Condition on a row with tenant and agent: some limit of concurrency or rate is over it."""

_OVER = """
tenant IN ('*', :tenant) AND agent IN ('*', :agent)
    AND (concurrency IS NOT NULL OR starts IS NOT NULL)
"""
# Everybody locks in the same order; what is counted next is counted with the lock held.
_LOCK = text(f"SELECT FROM limits WHERE {_OVER} ORDER BY tenant, agent FOR UPDATE")

# The generic cell rate algorithm (ITU-T I.371): `next_at` is the theoretical arrival time. One in
# twenty may come at once, and the others are spread so that no span holds more than `starts`.
_BURST = "(starts / 20)"
_EACH = f"(span_seconds / (starts - {_BURST}))"

# A time further ahead was written before the clock was put back.
_LATEST = "clock_timestamp() + (span_seconds + 1) * interval '1 second'"

_STANDING = text(f"""
SELECT tenant, agent,
    concurrency IS NOT NULL AND concurrency <= (
        SELECT count(*) FROM tasks WHERE tasks.state = 'running'
            AND limits.tenant IN ('*', tasks.tenant) AND limits.agent IN ('*', tasks.agent)
    ) AS is_full,
    CASE WHEN starts IS NULL OR next_at IS NULL OR next_at > {_LATEST} THEN 0
        ELSE EXTRACT(EPOCH FROM next_at - clock_timestamp()) - {_BURST} * {_EACH}
    END AS wait_seconds
FROM limits WHERE {_OVER} ORDER BY tenant, agent
""")  # noqa: S608 constants of this file

_COUNT = text(f"""
UPDATE limits SET next_at = {_EACH} * interval '1 second' + CASE
    WHEN next_at BETWEEN clock_timestamp() AND {_LATEST} THEN next_at
    ELSE clock_timestamp() END
WHERE {_OVER} AND starts IS NOT NULL
""")  # noqa: S608 as above


class Limit(BaseModel):
    """A limit as it is set. None in a field: not limited so; `weight` None counts as 1.

    No more than `starts` tasks start in any `span_seconds`.
    """

    model_config = ConfigDict(frozen=True)

    tenant: str
    agent: str
    concurrency: int | None
    starts: int | None
    span_seconds: float | None
    weight: float | None
    set_by: str
    set_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AtLimit:
    """The limit of `tenant` and `agent` that leaves no room, and when to look again."""

    tenant: str
    agent: str
    seconds: float


def take_place(connection: Connection, *, tenant: str, agent: str) -> AtLimit | None:
    """Lock the limits over a tenant and agent; tells which of them leaves no room, if one does.

    The locks last to the end of the transaction, in which the task is claimed or is not.
    """
    parameters = {"tenant": tenant, "agent": agent}
    if connection.execute(_LOCK, parameters).first() is None:
        return None
    for row in connection.execute(_STANDING, parameters).all():
        if row.is_full:
            return AtLimit(tenant=row.tenant, agent=row.agent, seconds=_LOOK_AGAIN_SECONDS)
        if row.wait_seconds > 0:
            return AtLimit(tenant=row.tenant, agent=row.agent, seconds=float(row.wait_seconds))
    return None


def count_start(connection: Connection, *, tenant: str, agent: str) -> None:
    """Count a start in the rates over a tenant and agent, whose locks the caller holds."""
    connection.execute(_COUNT, {"tenant": tenant, "agent": agent})


def set_limit(
    connection: Connection,
    *,
    tenant: str,
    agent: str,
    set_by: str,
    concurrency: int | None = None,
    rate: tuple[int, float] | None = None,
    weight: float | None = None,
) -> Limit:
    """Limit a tenant, an agent or both; what is not named stays as it is.

    `rate` is a number of starts and the seconds of a span.

    Raises:
        InvalidInput: A value is out of bounds, or nothing is named; tells the remedy.
    """
    _check(tenant, agent, concurrency=concurrency, rate=rate, weight=weight)
    named: dict[str, object] = {}
    if concurrency is not None:
        named["concurrency"] = concurrency
    if rate is not None:
        named |= {"starts": rate[0], "span_seconds": rate[1], "next_at": None}
    if weight is not None:
        named["weight"] = weight
    values = {"tenant": tenant, "agent": agent, "set_by": set_by}
    row = connection.execute(
        insert(limits)
        .values(**values, **named)
        .on_conflict_do_update(
            index_elements=[limits.c.tenant, limits.c.agent],
            set_={**named, "set_by": set_by, "set_at": func.now()},
        )
        .returning(limits)
    ).one()
    told = {
        name: f"{value:g}" if isinstance(value, float) else value
        for name, value in named.items()
        if name != "next_at"
    }
    _note(connection, "set", by=set_by, tenant=tenant, agent=agent, detail=told)
    return _limit(row)


def clear_limit(connection: Connection, *, tenant: str, agent: str, cleared_by: str) -> bool:
    """Take away limits and weight of a tenant, an agent or both; tells whether there were any."""
    removed = connection.execute(
        delete(limits)
        .where(limits.c.tenant == tenant, limits.c.agent == agent)
        .returning(limits.c.agent)
    ).one_or_none()
    if removed is not None:
        _note(connection, "cleared", by=cleared_by, tenant=tenant, agent=agent, detail={})
    return removed is not None


def all_limits(connection: Connection) -> list[Limit]:
    """Everything that is limited, by tenant and agent."""
    query = select(limits).order_by(limits.c.tenant, limits.c.agent)
    return [_limit(row) for row in connection.execute(query)]


def _check(
    tenant: str,
    agent: str,
    *,
    concurrency: int | None,
    rate: tuple[int, float] | None,
    weight: float | None,
) -> None:
    if concurrency is None and rate is None and weight is None:
        raise InvalidInput("Name a concurrency, a rate or a weight.")
    if concurrency is not None and concurrency < 1:
        raise InvalidInput("A concurrency is 1 or more: to stop tasks, pause them.")
    if rate is not None and (rate[0] < 1 or rate[1] <= 0):
        raise InvalidInput("A rate is one start or more in a span of time, such as 10/second.")
    if weight is not None and not 0 < weight <= MOST_WEIGHT:
        raise InvalidInput(f"A weight is over 0 and at most {MOST_WEIGHT:.0f}; 1 is the usual one.")
    if weight is not None and (agent != EVERY or tenant == EVERY):
        raise InvalidInput("A weight is a tenant's over all agents: name a tenant and no agent.")


def _note(
    connection: Connection,
    what: str,
    *,
    by: str,
    tenant: str,
    agent: str,
    detail: dict[str, object],
) -> None:
    audit.add(
        connection,
        Entry(
            kind=AuditKind.LIMIT,
            who=by,
            what=what,
            tenant=None if tenant == EVERY else tenant,
            detail={"agent": agent, "tenant": tenant, **detail},
        ),
    )


def _limit(row: Row[*tuple[object, ...]]) -> Limit:
    return Limit.model_validate(dict(row._mapping))  # noqa: SLF001 the documented way to a dict
