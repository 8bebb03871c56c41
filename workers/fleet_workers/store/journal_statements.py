"""The statements of the step journal, each with the fence in it."""

from fleet_workers.store.journal_rows import FLUSH_CTES
from fleet_workers.store.statement import Statement

_WRITE = """
WITH fence AS MATERIALIZED ({fence}), {flush}
SELECT id FROM fence
"""
_HELD = "WHERE id = :task_id AND epoch = :epoch AND state = 'running'"
# FOR SHARE: a claim that comes at the same time waits for this commit, and so reads all of it.
WRITE_HELD = Statement(
    _WRITE.format(
        fence=f"SELECT id FROM tasks {_HELD} FOR SHARE",  # noqa: S608 constants
        flush=FLUSH_CTES,
    )
)
"""Writes what a journal has noted, where the task is still held."""
WRITE_PROGRESS = Statement(
    _WRITE.format(
        fence=f"UPDATE tasks SET deliveries = 1 {_HELD} RETURNING id",  # noqa: S608 constants
        flush=FLUSH_CTES,
    )
)
"""As above, and the deliveries are counted anew: a step was recorded."""
RESUME = Statement(f"""
WITH fence AS MATERIALIZED (SELECT id FROM tasks {_HELD} FOR SHARE)
UPDATE steps SET epoch = :epoch FROM fence WHERE task_id = :task_id AND seq = :seq
RETURNING CAST(EXTRACT(EPOCH FROM clock_timestamp() - started_at) AS float) AS begun_seconds_ago
""")  # noqa: S608 constants
"""Writes the epoch of the worker that takes a started step over."""
ASK_AGAIN = Statement(f"""
WITH fence AS MATERIALIZED (SELECT id FROM tasks {_HELD} FOR SHARE)
UPDATE steps SET started_at = clock_timestamp() FROM fence WHERE task_id = :task_id AND seq = :seq
RETURNING seq
""")  # noqa: S608 constants
"""Writes the time at which a started step is asked for once more."""
LATE = Statement("""
UPDATE steps SET state = 'done', result = CAST(:result AS jsonb), finished_at = clock_timestamp()
FROM tasks
WHERE steps.task_id = :task_id AND steps.seq = :seq AND steps.epoch = :epoch
    AND steps.state = 'started' AND tasks.id = steps.task_id
    AND tasks.state IN ('cancelled', 'expired')
RETURNING steps.seq
""")
"""Keeps the result of a step whose task was ended while it was under way."""
KEEP_TEXT = Statement("""
INSERT INTO texts (hash, body) VALUES (:hash, :body) ON CONFLICT DO NOTHING RETURNING hash
""")
"""Keeps a text by its hash."""
