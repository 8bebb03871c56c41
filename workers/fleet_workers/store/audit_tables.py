"""Tables of the audit trail: what was written, and the chain into which it is sealed."""

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Identity,
    Index,
    LargeBinary,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from fleet_workers.store.tables import metadata

_TIME = DateTime(timezone=True)

# Entries as they are written, until a janitor puts them into the chain: no index that the hot path
# would pay for.
audit_inbox = Table(
    "audit_inbox",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("at", _TIME, nullable=False, server_default=text("clock_timestamp()")),
    Column("kind", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("tenant", Text),
    Column("task_id", Uuid),
    Column("trace", Text),
    Column("detail", JSONB, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary, nullable=False),
    Column("id", BigInteger, nullable=False, unique=True),
    Column("at", _TIME, nullable=False),
    Column("kind", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("tenant", Text),
    Column("task_id", Uuid),
    Column("trace", Text),
    Column("detail", JSONB, nullable=False),
    Index("audit_of_task", "task_id", postgresql_where=text("task_id IS NOT NULL")),
    Index("audit_of_tenant", "tenant", "position"),
    Index("audit_by_time", "at", postgresql_using="brin"),
    Index("audit_releases", "what", postgresql_where=text("kind = 'release'")),
)
