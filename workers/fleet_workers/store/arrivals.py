"""Takes many tasks in with one statement: how a flood of messages leaves the broker in seconds."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Engine, text

from fleet_contracts.envelope import TaskEnvelope
from fleet_workers.store.engine import single_statement
from fleet_workers.store.json_text import json_text
from fleet_workers.store.ranks import yield_of
from fleet_workers.telemetry.counting import count_taken_in

SESSION_PAUSE: Final = timedelta(seconds=0.1)
"""A task of a session that came over the broker lets those before it reach the store first."""

# Rows go in by id: two who take the same messages in wait for each other in one order.
_ADD = text("""
INSERT INTO tasks (id, tenant, agent, requested_agent, state, envelope, content_hash, customer,
    session_id, traceparent, deadline, submitted_at, rank_at, woken_at)
SELECT new.id, new.tenant, new.agent, new.agent, 'queued', CAST(new.envelope AS jsonb), new.hash,
    new.customer, new.session_id, new.traceparent, new.deadline, new.submitted_at,
    new.submitted_at + new.yields,
    CASE WHEN new.session_id IS NULL THEN now() ELSE now() + :session_pause END
FROM (
    SELECT id, tenant, agent, envelope, hash, customer, session_id, traceparent, deadline, yields,
        LEAST(now(), COALESCE(submitted_at, now())) AS submitted_at
    FROM unnest(CAST(:ids AS uuid[]), CAST(:tenants AS text[]), CAST(:agents AS text[]),
        CAST(:envelopes AS text[]), CAST(:hashes AS text[]), CAST(:customers AS text[]),
        CAST(:sessions AS text[]), CAST(:traces AS text[]), CAST(:deadlines AS timestamptz[]),
        CAST(:submitted AS timestamptz[]), CAST(:yields AS interval[]))
        AS sent(id, tenant, agent, envelope, hash, customer, session_id, traceparent, deadline,
            submitted_at, yields)
) AS new
JOIN tenants ON tenants.name = new.tenant
ORDER BY new.id
ON CONFLICT DO NOTHING
RETURNING id, agent
""")

_KNOWN = text("SELECT id, content_hash FROM tasks WHERE id = ANY (CAST(:ids AS uuid[]))")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A task that came in a message. `is_stored` is the message's hint that the store knows it."""

    envelope: TaskEnvelope
    traceparent: str | None
    submitted_at: datetime | None
    queue: str
    is_stored: bool


def take_in(engine: Engine, arrivals: Sequence[Arrival]) -> tuple[set[UUID], list[Arrival]]:
    """Record tasks as queued, in one statement that commits by itself.

    Gives the ids of those that are new, and those that are neither new nor known with the same
    content: their tenant is not known, or they are at odds with what the store has. Not for tasks
    that may have to wait for their time.

    Raises:
        Unavailable: The store is away; nothing is known to be written.
    """
    unlike = {each.envelope.id: each for each in reversed(arrivals)}
    envelopes = [each.envelope for each in unlike.values()]
    with single_statement(engine) as connection:
        rows = connection.execute(
            _ADD,
            {
                "ids": [each.id for each in envelopes],
                "tenants": [each.tenant for each in envelopes],
                "agents": [each.agent for each in envelopes],
                "envelopes": [json_text(each.to_dict()) for each in envelopes],
                "hashes": [each.content_hash for each in envelopes],
                "customers": [each.customer for each in envelopes],
                "sessions": [each.session_id for each in envelopes],
                "traces": [each.traceparent for each in unlike.values()],
                "deadlines": [each.deadline for each in envelopes],
                "submitted": [each.submitted_at for each in unlike.values()],
                "yields": [yield_of(each.priority) for each in envelopes],
                "session_pause": SESSION_PAUSE,
            },
        )
        new = set()
        for row in rows:
            new.add(row.id)
            count_taken_in(row.agent)
        old = [each for each in arrivals if each.envelope.id not in new]
        if not old and len(unlike) == len(arrivals):
            return new, []
        ids = [each.envelope.id for each in arrivals]
        known = {row.id: row.content_hash for row in connection.execute(_KNOWN, {"ids": ids})}
    return new, [each for each in arrivals if known.get(each.envelope.id) != _hash(each)]


def _hash(arrival: Arrival) -> str:
    return arrival.envelope.content_hash
