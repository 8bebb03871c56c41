"""Reads the facts of a span of time from the store. Every query is bounded and reads only."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Row, text

from fleet_workers.incident.facts import Act, Bucket, Effect, Facts, Present, Scope, Trouble
from fleet_workers.incident.subjects import subject_of
from fleet_workers.store.causes import cause_of
from fleet_workers.store.pauses import EVERY
from fleet_workers.store.pools import janitors_alive, load_by_agent, workers_alive

MOST_TROUBLES: Final = 5000
LOOK_BACK: Final = timedelta(minutes=15)
"""What was changed so long before the span may be its cause."""
_MOST_BUCKETS = 60
_STEPS = (60, 300, 900, 3600, 6 * 3600, 86_400)  # seconds: spans that people count in

# Places rise with time, and have an index; times have none.
_PLACE_AT = text("SELECT at FROM task_events WHERE place >= :place ORDER BY place LIMIT 1")
_LAST_PLACE = text("SELECT max(place) FROM task_events")
_IN_SPAN = """
(place > :after OR place IS NULL) AND at >= :since AND at < :until
    AND (CAST(:agent AS text) IS NULL OR agent = :agent)
    AND (CAST(:tenant AS text) IS NULL OR tenant = :tenant)
"""
_COUNTS = text(f"""
SELECT floor(extract(epoch FROM at - CAST(:since AS timestamptz)) / :step)::int AS number, state,
    count(*) AS changes
FROM task_events WHERE {_IN_SPAN} GROUP BY 1, 2
""")  # noqa: S608 a constant
_TROUBLES = text(f"""
SELECT e.task_id, e.tenant, e.agent, e.state, e.at, e.code, t.release, t.deliveries, t.last_error,
    s.name AS step, s.result ->> 'error' AS step_error
FROM (SELECT * FROM task_events WHERE {_IN_SPAN}
        AND (state IN ('retrying', 'dead', 'expired') OR (state = 'in_review'
             AND code IN ('in_doubt', 'tool_away', 'over_budget', 'invalid_plan', 'unknown_tool')))
      ORDER BY id LIMIT :limit) AS e
LEFT JOIN tasks AS t ON t.id = e.task_id
LEFT JOIN LATERAL (
    SELECT name, result FROM (
        SELECT seq, name, result FROM steps
        WHERE steps.task_id = e.task_id AND kind = 'failure' AND started_at <= e.at
        UNION ALL
        SELECT seq, name, result FROM finished_steps
        WHERE finished_steps.task_id = e.task_id AND kind = 'failure' AND started_at <= e.at
            AND ended_at >= :since
    ) AS failures
    ORDER BY seq DESC LIMIT 1
) AS s ON true
ORDER BY e.id
""")  # noqa: S608 a constant
_BROKEN_CALLS = text("""
SELECT task_id, name FROM steps
WHERE task_id = ANY(:ids) AND kind = 'tool'
    AND (state = 'started' OR result ? 'in_doubt' OR result ? 'error')
ORDER BY task_id, seq
""")
_ACTS = text("""
SELECT at, kind, who, what, why, tenant, detail ->> 'agent' AS agent,
    detail ->> 'tenant' AS whose
FROM (
    SELECT at, kind, who, what, why, tenant, detail FROM audit WHERE at >= :since AND at < :until
    UNION ALL
    SELECT at, kind, who, what, why, tenant, detail FROM audit_inbox
    WHERE at >= :since AND at < :until
) AS trail
WHERE kind IN ('release', 'pause', 'switch', 'limit', 'right', 'policy', 'tenant', 'key', 'replay',
               'discard', 'retention')
    AND (CAST(:tenant AS text) IS NULL OR tenant IS NULL OR tenant IN ('*', :tenant))
ORDER BY at LIMIT 500
""")
_EFFECTS = text("""
SELECT task_id, what FROM (
    SELECT task_id, what, at FROM audit WHERE kind = 'effect' AND task_id = ANY(:ids)
    UNION ALL
    SELECT task_id, what, at FROM audit_inbox WHERE kind = 'effect' AND task_id = ANY(:ids)
) AS trail ORDER BY at LIMIT 20000
""")
_RELEASES = text(f"""
WITH seen AS (
    SELECT DISTINCT task_id, bool_or(state = 'dead' OR (state = 'in_review'
        AND code NOT IN ('approval', 'sampled', 'flagged'))) OVER (PARTITION BY task_id) AS bad
    FROM task_events
    WHERE {_IN_SPAN} AND state IN ('succeeded', 'rejected', 'in_review', 'dead')
)
SELECT tasks.release, count(*) AS tasks, count(*) FILTER (WHERE bad) AS bad
FROM seen JOIN tasks ON tasks.id = seen.task_id
WHERE tasks.release IS NOT NULL GROUP BY 1
""")  # noqa: S608 a constant
_PRESENT = text("""
SELECT (SELECT count(*) FROM outbox WHERE created_at < now() - interval '30 seconds') AS unsent,
    (SELECT max(last_error) FROM outbox) AS unsent_error
""")


def gather(connection: Connection, scope: Scope, *, open_breakers: Sequence[str] = ()) -> Facts:
    """Read the facts; `open_breakers` are told by whoever can ask Redis."""
    length = scope.until - scope.since
    earlier = scope.since - length
    now = _parameters(connection, scope, scope.since, scope.until)
    then = _parameters(connection, scope, earlier, scope.since)
    rows = connection.execute(_TROUBLES, {**now, "limit": MOST_TROUBLES + 1}).all()
    troubles = _troubles(connection, rows[:MOST_TROUBLES])
    return Facts(
        scope=scope,
        buckets=_buckets(connection, scope, now),
        before=_sums(connection, then, length),
        troubles=troubles,
        is_cut=len(rows) > MOST_TROUBLES,
        acts=_acts(connection, scope),
        effects=_effects(connection, [each.task_id for each in troubles]),
        releases={row.release: (row.tasks, row.bad) for row in connection.execute(_RELEASES, now)},
        present=_present(connection, scope, open_breakers),
    )


def _parameters(
    connection: Connection, scope: Scope, since: datetime, until: datetime
) -> dict[str, Any]:
    return {
        "after": _place_before(connection, since),
        "since": since,
        "until": until,
        "agent": scope.agent,
        "tenant": scope.tenant,
    }


def _place_before(connection: Connection, since: datetime) -> int:
    """A place behind which everything from `since` on lies, found by halving."""
    low, high = 0, connection.execute(_LAST_PLACE).scalar() or 0
    while low < high:
        middle = (low + high) // 2
        at = connection.execute(_PLACE_AT, {"place": middle}).scalar()
        if at is not None and at < since - timedelta(seconds=30):  # of changes that commit late
            low = middle + 1
        else:
            high = middle
    return max(0, low - 1)


def _buckets(
    connection: Connection, scope: Scope, parameters: Mapping[str, Any]
) -> tuple[Bucket, ...]:
    seconds = (scope.until - scope.since).total_seconds()
    step = next((each for each in _STEPS if seconds / each <= _MOST_BUCKETS), _STEPS[-1])
    counts: dict[int, dict[str, int]] = {}
    for row in connection.execute(_COUNTS, {**parameters, "step": step}):
        counts.setdefault(row.number, {})[row.state] = row.changes
    return tuple(
        Bucket(at=scope.since + timedelta(seconds=number * step), counts=counts.get(number, {}))
        for number in range(int(-(-seconds // step)))
    )


def _sums(
    connection: Connection, parameters: Mapping[str, Any], length: timedelta
) -> dict[str, int]:
    step = length.total_seconds() * 2  # one bucket
    rows = connection.execute(_COUNTS, {**parameters, "step": step})
    return {row.state: row.changes for row in rows}


def _troubles(connection: Connection, rows: Sequence[Row[Any]]) -> tuple[Trouble, ...]:
    ids = list({row.task_id for row in rows})
    calls: dict[UUID, list[str]] = {}
    for row in connection.execute(_BROKEN_CALLS, {"ids": ids}):
        calls.setdefault(row.task_id, []).append(row.name)
    return tuple(_trouble(row, calls.get(row.task_id, ())) for row in rows)


def _trouble(row: Row[Any], tools: Sequence[str]) -> Trouble:
    last = row.last_error or {}
    error = str(row.step_error or last.get("message") or last.get("error") or "")
    code = str(row.code or last.get("code") or row.step or row.state)
    return Trouble(
        task_id=row.task_id,
        tenant=row.tenant,
        agent=row.agent,
        release=row.release,
        state=row.state,
        at=row.at,
        code=code,
        cause=cause_of(code, error),
        subject=subject_of(code, error, tools),
        deliveries=row.deliveries or 0,
    )


def _acts(connection: Connection, scope: Scope) -> tuple[Act, ...]:
    rows = connection.execute(
        _ACTS,
        {
            "since": scope.since - LOOK_BACK,
            "until": scope.until,
            "tenant": scope.tenant,
        },
    )
    return tuple(
        Act(
            at=row.at,
            kind=row.kind,
            who=row.who,
            what=_concerned(row),
            why=row.why,
            tenant=row.tenant,
        )
        for row in rows
    )


def _concerned(row: Row[Any]) -> str:
    """What was done, and to whom: `paused billing for acme`."""
    agent = "all agents" if row.agent == EVERY else row.agent
    words = [row.what] if row.agent is None else [row.what, agent]
    return " ".join([*words, f"for {row.whose}"] if row.whose not in (None, EVERY) else words)


def _effects(connection: Connection, ids: Sequence[UUID]) -> tuple[Effect, ...]:
    fates: dict[tuple[UUID, str], str] = {}
    for row in connection.execute(_EFFECTS, {"ids": list(set(ids))}):
        tool, _, fate = str(row.what).partition(" ")
        fates[row.task_id, tool] = fate
    return tuple(Effect(task_id=key[0], tool=key[1], fate=fate) for key, fate in fates.items())


def _present(connection: Connection, scope: Scope, open_breakers: Sequence[str]) -> Present:
    row = connection.execute(_PRESENT).one()
    workers = [each for each in workers_alive(connection) if each.slots is not None]
    loads = load_by_agent(connection, tenant=scope.tenant)
    now = datetime.now(UTC)
    chosen = [each for each in loads.values() if scope.agent in (None, each.agent)]
    return Present(
        served=frozenset(agent for worker in workers for agent in worker.agents),
        serves_all=any(not worker.is_whole for worker in workers),
        waiting={each.agent: each.queued for each in chosen if each.queued},
        oldest_seconds={
            each.agent: (now - each.oldest_at).total_seconds() for each in chosen if each.oldest_at
        },
        janitors=janitors_alive(connection),
        unsent=row.unsent,
        unsent_error=row.unsent_error or "",
        open_breakers=tuple(open_breakers),
    )
