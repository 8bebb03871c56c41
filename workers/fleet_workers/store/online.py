"""Changes of tables for migrations, made while a fleet reads and writes them."""

from alembic import op
from sqlalchemy import text


def create_index(
    name: str,
    table: str,
    columns: str,
    *,
    where: str | None = None,
    unique: bool = False,
    using: str = "btree",
) -> None:
    """Build an index on a table in use; `columns` and `where` are SQL.

    One that an interrupted upgrade left half-built is made anew.
    """
    condition = f" WHERE {where}" if where else ""
    kind = "UNIQUE INDEX" if unique else "INDEX"
    with op.get_context().autocommit_block():
        if _is_half_built(name):
            op.execute(f'DROP INDEX CONCURRENTLY "{name}"')
        op.execute(
            f'CREATE {kind} CONCURRENTLY IF NOT EXISTS "{name}" ON "{table}" '
            f"USING {using} ({columns}){condition}"
        )


def drop_index(name: str) -> None:
    """Drop an index of a table in use."""
    with op.get_context().autocommit_block():
        op.execute(f'DROP INDEX CONCURRENTLY IF EXISTS "{name}"')


def _is_half_built(name: str) -> bool:
    found = op.get_bind().execute(
        text(
            "SELECT NOT indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid "
            "WHERE relname = :name"
        ),
        {"name": name},
    )
    return bool(found.scalar())
