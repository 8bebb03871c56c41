"""Fills the store with tasks that are over, as months of work would leave them."""

from datetime import timedelta

from sqlalchemy import Engine, text

_BATCH = 200_000

# Ids are in the order of time, as the fleet's own (UUIDv7). An envelope has about 500 bytes.
_ADD = text("""
INSERT INTO tasks (id, tenant, agent, requested_agent, release, state, customer, session_id,
    envelope, content_hash, epoch, deliveries, outcome, submitted_at, created_at, started_at,
    finished_at, woken_at)
SELECT id, tenant, agent, agent, agent || '@v1', 'succeeded', customer, session,
    jsonb_build_object('id', id, 'tenant', tenant, 'agent', agent, 'customer', customer,
        'session_id', session, 'input', 'My order ' || n || ' is late. ' || words,
        'priority', 'normal', 'schema_version', 1),
    md5(n::text) || md5(words), 1, 1,
    jsonb_build_object('kind', 'answered', 'answer', 'Order ' || n || ' arrives tomorrow.',
        'confidence', 0.93, 'tools_used', jsonb_build_array('track_parcel'), 'model', 'small'),
    at, at, at, at + interval '3 seconds', at
FROM (
    SELECT n, md5(n::text) AS hash,
        (lpad(to_hex(1700000000000 + n), 12, '0') || '7' || substr(md5(n::text), 1, 3)
            || '8' || substr(md5(n::text), 4, 15))::uuid AS id,
        CASE WHEN n % 20 = 0 THEN 'acme' ELSE 'tenant_' || n % 20 END AS tenant,
        CASE WHEN n % 4 = 0 THEN 'bench' ELSE 'agent_' || n % 4 END AS agent,
        'cus_' || n % 50000 AS customer,
        CASE WHEN n % 2 = 0 THEN 'session ' || n / 2 % 1000 END AS session,
        repeat(md5((n * 7)::text) || ' ', 8) AS words,
        now() - (10000000 - n) * CAST(:apart AS interval) AS at
    FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS n
) AS made
""")


def add_finished_tasks(
    engine: Engine, count: int, *, have: int = 0, apart: timedelta = timedelta(seconds=1)
) -> None:
    """Add tasks until there are `count`, then tidy up as autovacuum does in time.

    They end `apart` from each other. Nobody is told of them: no trigger sees them.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("SET session_replication_role = replica"))
        for first in range(have + 1, count + 1, _BATCH):
            last = min(first + _BATCH - 1, count)
            connection.execute(_ADD, {"first": first, "last": last, "apart": apart})
        connection.execute(text("RESET session_replication_role"))
        connection.execute(text("VACUUM (ANALYZE) tasks"))
        # Written back now, so that it is not done while tasks are timed.
        connection.execute(text("CHECKPOINT"))
        connection.execute(text("RESET statement_timeout"))
