"""Adds copies of a parked task, with all that it left, where workers would take too long."""

from uuid import UUID

from sqlalchemy import Engine, text

# A copy differs in its ids and in the times at which it was parked and falls due.
_STATEMENTS = (
    """
    CREATE TEMPORARY TABLE copies ON COMMIT DROP AS
    SELECT gen_random_uuid() AS task_id, gen_random_uuid() AS review_id, n
    FROM generate_series(1, CAST(:count AS integer)) AS n
    """,
    """
    INSERT INTO tasks SELECT (jsonb_populate_record(t, jsonb_build_object('id', c.task_id,
        'envelope', jsonb_set(t.envelope, '{id}', to_jsonb(c.task_id))))).*
    FROM tasks AS t, copies AS c WHERE t.id = :task_id
    """,
    """
    INSERT INTO steps SELECT (jsonb_populate_record(s, jsonb_build_object('task_id', c.task_id))).*
    FROM steps AS s, copies AS c WHERE s.task_id = :task_id
    """,
    """
    INSERT INTO reviews SELECT (jsonb_populate_record(r, jsonb_build_object('id', c.review_id,
        'task_id', c.task_id, 'created_at', r.created_at + c.n * interval '20 milliseconds',
        'due_at', r.due_at + c.n * interval '20 milliseconds'))).*
    FROM reviews AS r, copies AS c WHERE r.task_id = :task_id
    """,
)


def add_parked_copies(engine: Engine, task_id: UUID, count: int) -> None:
    """Add `count` copies of a parked task, its steps and its review."""
    with engine.begin() as connection:
        for each in _STATEMENTS:
            connection.execute(text(each), {"task_id": task_id, "count": count})


def tidy_up(engine: Engine) -> None:
    """Do what autovacuum does within a minute, so that plans are those of every day."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for table in ("tasks", "steps", "reviews"):
            connection.execute(text(f"VACUUM (ANALYZE) {table}"))
