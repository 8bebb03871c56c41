"""What is taken away when a customer is erased, table by table.

Words go, figures stay: that there was a task, when, how it ended and what it cost.
"""

from typing import Final

from sqlalchemy import TextClause, text

ERASED: Final = "[erased]"
"""Stands in place of words that a row must have."""

BY_TASK: Final[dict[str, TextClause]] = {
    name: text(sql)
    for name, sql in {
        "steps": "DELETE FROM steps WHERE task_id = ANY(:ids)",
        "finished_steps": "DELETE FROM finished_steps WHERE task_id = ANY(:ids)",
        "labels": """
            UPDATE labels SET proposed = '{}', decided = '{}'
            WHERE review_id IN (SELECT id FROM reviews WHERE task_id = ANY(:ids))
                AND (proposed <> '{}' OR decided <> '{}')
        """,
        "deliveries": """
            DELETE FROM deliveries
            WHERE body ->> 'review' IN (
                    SELECT CAST(id AS text) FROM reviews WHERE task_id = ANY(:ids))
                OR body ->> 'task' = ANY(:names)
        """,
        "reviews": "DELETE FROM reviews WHERE task_id = ANY(:ids)",
        "feedback": "UPDATE feedback SET comment = '' WHERE task_id = ANY(:ids) AND comment <> ''",
        "dead_letters": "DELETE FROM dead_letters WHERE task_id = ANY(:ids)",
        "plan_cache": "DELETE FROM plan_cache WHERE task_id = ANY(:ids)",
        "bulk_requests": "DELETE FROM bulk_requests WHERE task_id = ANY(:ids)",
        "debounce_windows": "DELETE FROM debounce_windows WHERE task_id = ANY(:ids)",
        "outbox": """
            DELETE FROM outbox
            WHERE headers ->> 'id' = ANY(:names) OR headers ->> 'task_id' = ANY(:names)
                OR EXISTS (SELECT FROM unnest(CAST(:names AS text[])) AS name
                           WHERE strpos(body, name) > 0)
        """,
    }.items()
}
"""In this order. `ids` are tasks of one customer, `names` the same as text."""

# A repeat of a message or of an idempotency key must still find its task: it is not run again.
TASKS: Final = text("""
UPDATE tasks SET customer = NULL, session_id = NULL, last_error = CASE
        WHEN last_error IS NULL THEN NULL
        ELSE jsonb_strip_nulls(jsonb_build_object('code', last_error -> 'code')) END,
    envelope = jsonb_build_object('schema_version', envelope -> 'schema_version',
        'id', id, 'tenant', tenant, 'agent', requested_agent, 'input', CAST(:erased AS text),
        'data', CAST('{}' AS jsonb), 'metadata', CAST('{}' AS jsonb),
        'priority', envelope -> 'priority'),
    outcome = CASE WHEN outcome IS NULL THEN NULL ELSE jsonb_strip_nulls(jsonb_build_object(
        'kind', outcome -> 'kind', 'confidence', outcome -> 'confidence',
        'review_kind', outcome -> 'review_kind', 'tools_used', outcome -> 'tools_used',
        'model', outcome -> 'model', 'offline', outcome -> 'offline',
        'cost_usd', outcome -> 'cost_usd', 'replaced_by', outcome -> 'replaced_by',
        'reason', CAST(:erased AS text))) END
WHERE id = ANY(:ids)
""")

# A message that no task came of names nobody but in its text.
BY_CUSTOMER: Final[dict[str, TextClause]] = {
    "dead_letters": text("""
        DELETE FROM dead_letters
        WHERE task_id IS NULL AND (tenant = :tenant OR tenant IS NULL)
            AND strpos(body, :quoted) > 0 AND strpos(body, :tenant) > 0
    """),
    # It would hand in the customer's words again.
    "schedules": text(
        "DELETE FROM schedules WHERE tenant = :tenant AND task ->> 'customer' = :customer"
    ),
    "spend_entries": text("""
        UPDATE spend_entries SET customer = NULL,
            counted = COALESCE((
                SELECT jsonb_agg(each) FROM jsonb_array_elements(counted) AS each
                WHERE each ->> 0 <> :total), '[]')
        WHERE tenant = :tenant AND customer = :customer
    """),
    "spend_totals": text("DELETE FROM spend_totals WHERE subject = :total"),
}
"""Once the tasks are through."""
