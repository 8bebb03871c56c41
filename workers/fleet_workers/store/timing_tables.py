"""Tables of tasks that come by the clock: schedules, and windows in which a later task counts."""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from fleet_workers.store.tables import metadata

_TIME = DateTime(timezone=True)
_NOW = text("now()")

# The newest task of each key. Its window is open while that task is put off for a time ahead; the
# row stays for an hour longer, so that a message that was held up is known to be an old one.
debounce_windows = Table(
    "debounce_windows",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("agent", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("task_id", Uuid, nullable=False),
    Column("submitted_at", _TIME, nullable=False),
    Column("came_at", _TIME, nullable=False),
    Column("opened_at", _TIME, nullable=False),
    Column("closes_at", _TIME, nullable=False),
    Column("kept_until", _TIME, nullable=False),
    postgresql_with={"fillfactor": "50"},
)

schedules = Table(
    "schedules",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("cron", Text, nullable=False),
    Column("zone", Text, nullable=False),
    Column("missed", Text, nullable=False),
    Column("task", JSONB, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("next_at", _TIME),
    Column("reckoned_at", _TIME, nullable=False, server_default=_NOW),
    Column("last_at", _TIME),
    Column("last_task", Uuid),
    Column("last_error", Text),
    Column("created_by", Text, nullable=False),
    Column("created_at", _TIME, nullable=False, server_default=_NOW),
    UniqueConstraint("tenant", "name"),
    CheckConstraint("missed IN ('once', 'skip', 'all')"),
    CheckConstraint("jsonb_typeof(task) = 'object'"),
    Index("schedules_due", "next_at", postgresql_where=text("enabled")),
)
