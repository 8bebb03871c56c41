"""How much of the store each table takes, and how old its oldest row is."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

from fleet_workers.store.retention_rules import RULES

_SIZE: Final = text("""
SELECT COALESCE(sum(pg_total_relation_size(relid)), 0) AS bytes,
    CAST(COALESCE(sum(GREATEST(reltuples, 0)) FILTER (WHERE isleaf), 0) AS bigint) AS rows
FROM pg_partition_tree(CAST(:table AS regclass)) JOIN pg_class ON pg_class.oid = relid
""")
_OTHERS: Final = (
    ("steps", "journal", "min(r.started_at)"),
    ("audit", "audit", "(SELECT at FROM audit ORDER BY position LIMIT 1)"),
    ("texts", "always", "min(r.created_at)"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSize:
    """A table with its indexes and partitions. `rows` is PostgreSQL's own estimate."""

    table: str
    kind: str
    rows: int
    bytes: int
    oldest_at: datetime | None


def read(connection: Connection) -> list[TableSize]:
    """The tables that grow, the largest first."""
    oldest = [
        (rule.table, str(rule.kind), f"min(CAST({rule.at} AS timestamptz))") for rule in RULES
    ]
    found = []
    for table, kind, at in (*oldest, *_OTHERS):
        size = connection.execute(_SIZE, {"table": table}).one()
        row = connection.execute(text(f"SELECT {at} FROM {table} AS r LIMIT 1"))  # noqa: S608 rules
        found.append(
            TableSize(
                table=table,
                kind=kind,
                rows=size.rows,
                bytes=int(size.bytes),
                oldest_at=row.scalar(),
            )
        )
    return sorted(found, key=lambda each: -each.bytes)
