"""Tables of models: stored replies, versions of data, requests for the Batch API, use by day."""

from sqlalchemy import (
    BigInteger,
    Column,
    Date,
    DateTime,
    Index,
    LargeBinary,
    Numeric,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from fleet_workers.store.tables import metadata

_TIME = DateTime(timezone=True)
_NOW = text("now()")

plan_cache = Table(
    "plan_cache",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("key", LargeBinary, primary_key=True),
    Column("agent", Text, nullable=False),
    Column("release", Text, nullable=False),
    # Equal where two requests may share a reply if they mean the same; NULL where none may.
    Column("guard", LargeBinary),
    Column("embedder", Text),
    Column("vector", LargeBinary),
    Column("words", Text),
    Column("data_version", BigInteger, nullable=False, server_default="0"),
    Column("reply", JSONB, nullable=False),
    Column("task_id", Uuid, nullable=False),
    Column("created_at", _TIME, nullable=False, server_default=_NOW),
    Column("expires_at", _TIME, nullable=False),
    Index(
        "plan_cache_alike",
        "tenant",
        "guard",
        "created_at",
        postgresql_where=text("guard IS NOT NULL"),
    ),
    Index("plan_cache_expired", "expires_at"),
    Index("plan_cache_of_tenant", "tenant", "created_at"),
    Index("plan_cache_of_task", "task_id"),
)

data_versions = Table(
    "data_versions",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("agent", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("changed_by", Text, nullable=False),
    Column("changed_at", _TIME, nullable=False, server_default=_NOW),
)

bulk_requests = Table(
    "bulk_requests",
    metadata,
    Column("key", Text, primary_key=True),
    Column("task_id", Uuid, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Column("endpoint", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("body", JSONB, nullable=False),
    Column("state", Text, nullable=False, server_default="waiting"),
    Column("batch", Text),
    Column("reply", JSONB),
    Column("error", Text),
    Column("created_at", _TIME, nullable=False, server_default=_NOW),
    Column("sent_at", _TIME),
    Column("answered_at", _TIME),
    Index("bulk_requests_open", "state", "created_at"),
    Index("bulk_requests_of_task", "task_id"),
)

model_days = Table(
    "model_days",
    metadata,
    Column("day", Date, primary_key=True),
    Column("tenant", Text, primary_key=True),
    Column("agent", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("tier", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    # Workers write to different rows of one day, so that they do not wait for each other.
    Column("shard", SmallInteger, primary_key=True),
    Column("calls", BigInteger, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("unpriced", BigInteger, nullable=False),
    Column("cost_usd", Numeric(30, 8), nullable=False),
    Column("saved_usd", Numeric(30, 8), nullable=False),
    Column("saved_by_tier_usd", Numeric(30, 8), nullable=False),
)
