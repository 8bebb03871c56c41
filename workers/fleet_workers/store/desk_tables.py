"""Tables of the review desk: people, their sessions, labels, samples, feedback, deliveries."""

from sqlalchemy import (
    Boolean,
    Column,
    Date,
    DateTime,
    Double,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from fleet_workers.store.tables import metadata

_TIME = DateTime(timezone=True)
_NOW = text("now()")

people = Table(
    "people",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("email", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("password_hash", Text),
    Column("issuer", Text),
    Column("subject", Text),
    Column("groups", ARRAY(Text), nullable=False, server_default="{}"),
    Column("skills", ARRAY(Text), nullable=False, server_default="{}"),
    Column("created_at", _TIME, nullable=False, server_default=_NOW),
    Column("seen_at", _TIME),
    Column("disabled_at", _TIME),
    Index("people_by_subject", "issuer", "subject", unique=True),
    Index("people_of_tenant", "tenant", "email"),
)

# Who is signed in to the console. `person_id` or `key_id` tells by what; neither after a one-time
# link.
desk_sessions = Table(
    "desk_sessions",
    metadata,
    Column("token_hash", LargeBinary, primary_key=True),
    Column("person_id", Uuid),
    Column("key_id", Uuid),
    Column("tenant", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("created_at", _TIME, nullable=False, server_default=_NOW),
    Column("seen_at", _TIME, nullable=False, server_default=_NOW),
    Column("expires_at", _TIME, nullable=False),
    Index("desk_sessions_of_person", "person_id"),
    Index("desk_sessions_expired", "expires_at"),
)

# What the agent proposed, and what a person did. Written with the decision, never changed.
labels = Table(
    "labels",
    metadata,
    Column("review_id", Uuid, primary_key=True),
    Column("task_id", Uuid, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Column("release", Text),
    Column("kind", Text, nullable=False),
    Column("ruling", Text, nullable=False),
    Column("right", Boolean),
    Column("offline", Boolean, nullable=False, server_default="false"),
    Column("proposed", JSONB, nullable=False),
    Column("decided", JSONB, nullable=False),
    Column("confidence", Double),
    Column("stratum", Text),
    Column("weight", Double, nullable=False, server_default="1"),
    Column("seconds", Double),
    Column("decided_by", Text, nullable=False),
    Column("decided_at", _TIME, nullable=False, server_default=_NOW),
    Index("labels_of_tenant", "tenant", "decided_at"),
    Index("labels_of_agent", "agent", "decided_at"),
)

samples = Table(
    "samples",
    metadata,
    Column("task_id", Uuid, primary_key=True),
    Column("review_id", Uuid, nullable=False, unique=True),
    Column("tenant", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Column("stratum", Text, nullable=False),
    Column("weight", Double, nullable=False),
    Column("confidence", Double),
    Column("novelty", Double),
    Column("created_at", _TIME, nullable=False, server_default=_NOW),
    Index("samples_of_tenant", "tenant", "created_at"),
)

feedback = Table(
    "feedback",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("task_id", Uuid, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Column("release", Text),
    Column("rating", Text),
    Column("comment", Text, nullable=False, server_default=""),
    Column("flagged", Boolean, nullable=False, server_default="false"),
    Column("source", Text, nullable=False),
    Column("review_id", Uuid),
    Column("created_at", _TIME, nullable=False, server_default=_NOW),
    Index("feedback_of_task", "task_id", "source", unique=True),
    Index("feedback_of_tenant", "tenant", "created_at"),
    Index("feedback_by_time", "created_at"),
)

# What happened a day (UTC), counted by a janitor so that no page reads tasks. The tenant `*` has
# the sums of all. `latency` counts by bucket of a logarithmic histogram, `strata` by stratum.
quality_days = Table(
    "quality_days",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("agent", Text, primary_key=True),
    Column("offline", Boolean, primary_key=True),
    Column("finished", Integer, nullable=False, server_default="0"),
    Column("alone", Integer, nullable=False, server_default="0"),
    Column("escalated", Integer, nullable=False, server_default="0"),
    Column("cost_usd", Numeric(20, 8), nullable=False, server_default="0"),
    Column("latency", JSONB, nullable=False, server_default="{}"),
    Column("strata", JSONB, nullable=False, server_default="{}"),
)

# What goes to the outside over HTTP or SMTP, written with what it tells of. `key` makes sure that
# the same is told once.
deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("key", Text, nullable=False, unique=True),
    Column("tenant", Text),
    Column("channel", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("body", JSONB, nullable=False),
    Column("created_at", _TIME, nullable=False, server_default=_NOW),
    Column("try_at", _TIME, nullable=False, server_default=_NOW),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("last_error", Text),
    Column("delivered_at", _TIME),
    Column("gave_up_at", _TIME),
    Index(
        "deliveries_due",
        "channel",
        "try_at",
        postgresql_where=text("delivered_at IS NULL AND gave_up_at IS NULL"),
    ),
    Index("deliveries_given_up", "gave_up_at", postgresql_where=text("gave_up_at IS NOT NULL")),
)

# Up to where a chore has come, for chores that go through rows in the order of their time.
chore_marks = Table(
    "chore_marks",
    metadata,
    Column("name", Text, primary_key=True),
    Column("at", _TIME, nullable=False),
    Column("id", Uuid),
)

signing_keys = Table(
    "signing_keys",
    metadata,
    Column("name", Text, primary_key=True),
    Column("key", LargeBinary, nullable=False),
    Column("created_at", _TIME, nullable=False, server_default=_NOW),
)
