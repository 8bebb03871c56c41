"""The table of limits: a row for each tenant, agent, or pair of them; `*` stands for any."""

from sqlalchemy import Column, DateTime, Double, Integer, Table, Text, text

from fleet_workers.store.tables import metadata

limits = Table(
    "limits",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("agent", Text, primary_key=True),
    Column("concurrency", Integer),
    Column("starts", Integer),
    Column("span_seconds", Double),
    Column("weight", Double),
    Column("next_at", DateTime(timezone=True)),
    Column("set_by", Text, nullable=False),
    Column("set_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
)
