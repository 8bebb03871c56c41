"""Which queued task is next: the fairest of those that a process serves, claimed in one statement.

A tenant is one entry of a walk over the index `tasks_claimable`, so that the cost grows with the
number of tenants that wait, not with the number of their tasks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from fleet_contracts.envelope import TaskEnvelope
from fleet_workers.store import claims, limits, sessions, tasks
from fleet_workers.store.claims import (
    NOT_PAUSED,
    RETURNING,
    TAKE,
    Claim,
    Holder,
    as_parameters,
    claim_of,
)
from fleet_workers.store.limits import AtLimit
from fleet_workers.store.statement import Statement, Where

_CLAIMABLE = "state = 'queued' AND due_at IS NULL AND woken_at IS NOT NULL"

# The last subquery is run for one tenant after another until a row is found that nobody locks.
_NEXT = Statement(f"""
WITH RECURSIVE heads AS (
    SELECT head.agent, head.tenant, head.rank_at
    FROM unnest((SELECT CAST(:agents AS text[]))) AS served(agent) CROSS JOIN LATERAL (
        SELECT agent, tenant, rank_at FROM tasks
        WHERE tasks.agent = served.agent AND {_CLAIMABLE}
        ORDER BY tenant, rank_at LIMIT 1
    ) AS head
    UNION ALL
    SELECT head.agent, head.tenant, head.rank_at
    FROM heads CROSS JOIN LATERAL (
        SELECT agent, tenant, rank_at FROM tasks
        WHERE tasks.agent = heads.agent AND tasks.tenant > heads.tenant AND {_CLAIMABLE}
        ORDER BY tenant, rank_at LIMIT 1
    ) AS head
), fair AS MATERIALIZED (
    SELECT heads.agent, heads.tenant, COALESCE(own.weight, 1) AS weight
    FROM heads
    LEFT JOIN unnest((SELECT CAST(:tenants AS text[])), (SELECT CAST(:running AS integer[])),
        (SELECT CAST(:served AS double precision[]))) AS here(tenant, running, served)
        ON here.tenant = heads.tenant
    LEFT JOIN limits AS own ON own.tenant = heads.tenant AND own.agent = '*'
    WHERE {NOT_PAUSED.format(task="heads")}
        AND (CAST(:fewer_than AS integer) IS NULL OR COALESCE(here.running, 0) < :fewer_than)
        AND NOT EXISTS (
            SELECT FROM unnest((SELECT CAST(:full_tenants AS text[])),
                (SELECT CAST(:full_agents AS text[]))) AS at_limit(tenant, agent)
            WHERE at_limit.tenant IN ('*', heads.tenant) AND at_limit.agent IN ('*', heads.agent))
    ORDER BY COALESCE(here.running, 0) / COALESCE(own.weight, 1), COALESCE(here.served, :now),
        heads.rank_at
), pick AS MATERIALIZED (
    SELECT head.*, fair.weight AS pick_weight,
        head.pick_session IS NOT NULL OR {limits.COVERED.format(task="fair")} AS with_care
    FROM fair CROSS JOIN LATERAL (
        SELECT tasks.id AS pick_id, tasks.tenant AS pick_tenant, tasks.agent AS pick_agent,
            tasks.session_id AS pick_session, tasks.envelope AS pick_envelope
        FROM tasks
        WHERE tasks.agent = fair.agent AND tasks.tenant = fair.tenant AND {_CLAIMABLE}
            AND (tasks.session_id IS NULL OR tasks.woken_at <= now())
        ORDER BY tasks.rank_at, tasks.id LIMIT 1
        FOR UPDATE SKIP LOCKED
    ) AS head
    LIMIT 1
), taken AS (
    UPDATE tasks SET {TAKE}
    FROM pick WHERE tasks.id = pick.pick_id AND NOT pick.with_care AND tasks.state = 'queued'
    {RETURNING}
)
SELECT pick.*, taken.* FROM pick LEFT JOIN taken ON true
""")  # noqa: S608 every part is a constant


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How the tenants stand in a process that looks for its next task.

    `running` is the number of a tenant's tasks that run here, and `served` how much it was given,
    for each of `tenants`; who is not named runs nothing and stands at `now`. Tenants with
    `fewer_than` or more here get nothing, and neither does who is `at_limit`: pairs of tenant and
    agent, `*` for any.
    """

    tenants: Sequence[str] = ()
    running: Sequence[int] = ()
    served: Sequence[float] = ()
    now: float = 0.0
    fewer_than: int | None = None
    at_limit: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """The task that is next. Without `claim` it has still to be claimed, with care.

    `weight` is its tenant's share of a pool.
    """

    task_id: UUID
    tenant: str
    agent: str
    session_id: str | None
    envelope: Mapping[str, Any]
    weight: float
    claim: Claim | None


def take_next(
    where: Where, agents: Sequence[str], holder: Holder, standing: Standing
) -> Next | None:
    """Find the fairest queued task of these agents and claim it, in one statement.

    First comes the tenant that runs the least here for its weight, then who was given the least,
    then the older rank; of a tenant's tasks the one of the lowest rank. One of a session, or with a
    limit over it, is found but not claimed: `claim_with_care` does. None where nothing is to be
    had.
    """
    row = _NEXT.run(
        where,
        {
            "agents": list(agents),
            "tenants": list(standing.tenants),
            "running": list(standing.running),
            "served": list(standing.served),
            "now": standing.now,
            "fewer_than": standing.fewer_than,
            "full_tenants": [tenant for tenant, _ in standing.at_limit],
            "full_agents": [agent for _, agent in standing.at_limit],
            **as_parameters(holder),
        },
    )
    if row is None:
        return None
    return Next(
        task_id=row.pick_id,
        tenant=row.pick_tenant,
        agent=row.pick_agent,
        session_id=row.pick_session,
        envelope=row.pick_envelope,
        weight=row.pick_weight,
        claim=None if row.id is None else claim_of(row),
    )


def claim_with_care(
    connection: Connection, found: Next, envelope: TaskEnvelope, holder: Holder
) -> Claim | AtLimit | None:
    """Claim a task of a session, or with limits over it, in a transaction of its own.

    Whoever claims under the same limit waits, so that no limit is ever exceeded. One whose turn in
    its session has not come is put aside until it has. None where nothing was claimed.
    """
    if found.session_id is not None:
        sessions.lock(connection, envelope)
    limit = limits.take_place(connection, tenant=found.tenant, agent=found.agent)
    if limit is not None:
        return limit
    claim = claims.claim(connection, found.task_id, holder)
    if claim is None:
        if found.session_id is not None:
            tasks.mark_unwoken(connection, found.task_id)
        return None
    limits.count_start(connection, tenant=found.tenant, agent=found.agent)
    return claim
