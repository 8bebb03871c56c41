"""Tables of what is spent, and of rights that are withheld."""

from sqlalchemy import Column, Date, DateTime, Index, Numeric, Table, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB

from fleet_workers.store.tables import metadata

_TIME = DateTime(timezone=True)
_NOW = text("now()")

spend_entries = Table(
    "spend_entries",
    metadata,
    Column("key", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("task_id", Uuid, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Column("customer", Text),
    Column("purpose", Text, nullable=False),
    Column("amount_usd", Numeric(20, 8), nullable=False),
    Column("counted", JSONB, nullable=False),
    Column("state", Text, nullable=False, server_default="reserved"),
    Column("day", Date, nullable=False),
    Column("created_at", _TIME, nullable=False, server_default=_NOW),
    Column("settled_at", _TIME),
    Index("spend_entries_of_tenant", "tenant", "day"),
    Index("spend_entries_by_day", "day", postgresql_using="brin"),
    Index("spend_entries_open", "task_id", postgresql_where=text("state = 'reserved'")),
)

spend_totals = Table(
    "spend_totals",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("amount_usd", Numeric(30, 8), nullable=False),
)

withheld_rights = Table(
    "withheld_rights",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("customer", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("withheld_by", Text, nullable=False),
    Column("created_at", _TIME, nullable=False, server_default=_NOW),
)
