"""Tables of what other services are told, and of what came from them over the intake."""

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    Uuid,
    text,
)

from fleet_workers.store.tables import metadata

_TIME = DateTime(timezone=True)

# One row a change of a task's state, written by triggers on `tasks` (migration 0011). Of one task
# the ids rise in the order of its changes; of all, places rise in the order in which they can be
# read, and are given by a janitor.
task_events = Table(
    "task_events",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("task_id", Uuid, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("kind", Text),
    Column("code", Text),
    Column("at", _TIME, nullable=False, server_default=text("clock_timestamp()")),
    Column("place", BigInteger),
    Index("task_events_unplaced", "id", postgresql_where=text("place IS NULL")),
    Index("task_events_placed", "place", postgresql_where=text("place IS NOT NULL")),
    Index("task_events_by_time", "at", postgresql_using="brin"),
)

# Up to which place: places were given (`places`), and each reader has read. A reader that works
# outside the store has its mark lent to it meanwhile.
event_marks = Table(
    "event_marks",
    metadata,
    Column("name", Text, primary_key=True),
    Column("place", BigInteger, nullable=False),
    Column("lent_until", _TIME, nullable=False, server_default=text("'-infinity'")),
)

# Messages of the intake that are tasks already and may not be acknowledged yet: only such as name
# nothing by which a repeat could be known.
intake_taken = Table(
    "intake_taken",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("content", LargeBinary, nullable=False),
    Column("session", Uuid, nullable=False),
    Column("taken_at", _TIME, nullable=False, server_default=text("now()")),
    Index("intake_taken_by_content", "content"),
)
