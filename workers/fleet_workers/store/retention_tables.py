"""Tables of what is over: steps of tasks that have ended, by month, and requests for erasure."""

from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    Index,
    Integer,
    Numeric,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from fleet_workers.store.tables import metadata

_TIME = DateTime(timezone=True)
_NOW = text("now()")

# Journals of tasks that ended a day ago and more, moved here from `steps` by a janitor. One
# partition a month of `ended_at`, the end of the task.
finished_steps = Table(
    "finished_steps",
    metadata,
    Column("task_id", Uuid, primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("ended_at", _TIME, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("request", JSONB, nullable=False),
    Column("result", JSONB),
    Column("model", Text),
    Column("tokens", Integer),
    Column("cost_usd", Numeric(12, 6)),
    Column("started_at", _TIME, nullable=False, server_default=_NOW),
    Column("finished_at", _TIME),
    Index("finished_steps_by_time", "ended_at", postgresql_using="brin"),
    postgresql_partition_by="RANGE (ended_at)",
)

# `customer` is there until the erasure is done, and nothing of the person afterwards.
erasures = Table(
    "erasures",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("customer", Text),
    Column("cancel_open", Boolean, nullable=False, server_default="false"),
    Column("requested_by", Text, nullable=False),
    Column("created_at", _TIME, nullable=False, server_default=_NOW),
    Column("due_at", _TIME, nullable=False, server_default=_NOW),
    Column("listed_at", _TIME),
    Column("finished_at", _TIME),
    Column("last_error", Text),
    Column("erased", JSONB, nullable=False, server_default="{}"),
    Index("erasures_open", "due_at", postgresql_where=text("finished_at IS NULL")),
    Index("erasures_of_tenant", "tenant", "created_at"),
)

# The tasks that an erasure still has to go through.
erasure_tasks = Table(
    "erasure_tasks",
    metadata,
    Column("erasure_id", Uuid, primary_key=True),
    Column("task_id", Uuid, primary_key=True),
)
