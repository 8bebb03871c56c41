"""The statements of the step journal, each with the fence in it."""

from fleet_workers.store.audit_steps import AUDIT_CTE
from fleet_workers.store.journal_rows import FLUSH_CTES
from fleet_workers.store.statement import Statement

_WRITE = """
WITH fence AS MATERIALIZED ({fence}), {flush}
SELECT id FROM fence
"""
_HELD = "WHERE id = :task_id AND epoch = :epoch AND state = 'running'"
_AUDITED = "id, tenant, traceparent"
# FOR SHARE: a claim that comes at the same time waits for this commit, and so reads all of it.
_HOLD = f"SELECT {_AUDITED} FROM tasks {_HELD} FOR SHARE"  # noqa: S608 constants
_COUNT_ANEW = f"UPDATE tasks SET deliveries = 1 {_HELD} RETURNING {_AUDITED}"  # noqa: S608 constants

WRITES = {
    (progress, audited): Statement(
        _WRITE.format(
            fence=_COUNT_ANEW if progress else _HOLD,
            flush=f"{FLUSH_CTES}, {AUDIT_CTE}" if audited else FLUSH_CTES,
        )
    )
    for progress in (False, True)
    for audited in (False, True)
}
"""Writes what a journal has noted, where the task is still held: by (progress, audited).

With progress the deliveries are counted anew, as a step was recorded; audited are statements that
write entries of the audit trail, too.
"""
RESUME = Statement(f"""
WITH fence AS MATERIALIZED ({_HOLD}),
finished AS (SELECT CAST(NULL AS integer) AS seq WHERE false),
added AS (
    UPDATE steps SET epoch = :epoch FROM fence WHERE task_id = :task_id AND seq = :seq
    RETURNING seq,
        CAST(EXTRACT(EPOCH FROM clock_timestamp() - started_at) AS float) AS begun_seconds_ago
),
{AUDIT_CTE}
SELECT begun_seconds_ago FROM added
""")  # noqa: S608 constants
"""Writes the epoch of the worker that takes a started step over."""
ASK_AGAIN = Statement(f"""
WITH fence AS MATERIALIZED ({_HOLD}),
finished AS (SELECT CAST(NULL AS integer) AS seq WHERE false),
added AS (
    UPDATE steps SET started_at = clock_timestamp()
    FROM fence WHERE task_id = :task_id AND seq = :seq
    RETURNING seq
),
{AUDIT_CTE}
SELECT seq FROM added
""")  # noqa: S608 constants
"""Writes the time at which a started step is asked for once more."""
LATE = Statement(f"""
WITH fence AS MATERIALIZED (
    SELECT {_AUDITED} FROM tasks WHERE id = :task_id AND state IN ('cancelled', 'expired')
),
added AS (SELECT CAST(NULL AS integer) AS seq WHERE false),
finished AS (
    UPDATE steps SET state = 'done', result = CAST(:result AS jsonb),
        finished_at = clock_timestamp()
    FROM fence
    WHERE task_id = :task_id AND seq = :seq AND epoch = :epoch AND state = 'started'
    RETURNING seq
),
{AUDIT_CTE}
SELECT seq FROM finished
""")  # noqa: S608 constants
"""Keeps the result of a step whose task was ended while it was under way."""
KEEP_TEXT = Statement("""
INSERT INTO texts (hash, body) VALUES (:hash, :body) ON CONFLICT DO NOTHING RETURNING hash
""")
"""Keeps a text by its hash."""
