"""Models: stored replies, versions of data, requests for the Batch API, use and savings by day."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_NOW = sa.text("now()")
_OWN = "tenant = current_setting('fleet.tenant', true)"
_TABLES = ("plan_cache", "data_versions", "bulk_requests", "model_days")


def upgrade() -> None:
    """Apply."""
    _add_cache()
    _add_bulk_requests()
    _add_model_days()
    op.create_index(
        "spend_entries_open",
        "spend_entries",
        ["task_id"],
        postgresql_where=sa.text("state = 'reserved'"),
    )
    for table in _TABLES:
        op.execute(f"GRANT SELECT ON {table} TO fleet_tenant")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY own_tenant ON {table} TO fleet_tenant "
            f"USING ({_OWN}) WITH CHECK ({_OWN})"
        )
    # Whoever decides that an answer was wrong deletes the stored replies that it came from.
    op.execute("GRANT DELETE ON plan_cache TO fleet_tenant")


def downgrade() -> None:
    """Take back; stored replies and the figures by day are lost."""
    op.drop_index("spend_entries_open", "spend_entries")
    for table in _TABLES:
        op.drop_table(table)


def _add_cache() -> None:
    op.create_table(
        "plan_cache",
        sa.Column("tenant", sa.Text(), primary_key=True),
        sa.Column("key", sa.LargeBinary(), primary_key=True),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("release", sa.Text(), nullable=False),
        sa.Column("guard", sa.LargeBinary()),
        sa.Column("embedder", sa.Text()),
        sa.Column("vector", sa.LargeBinary()),
        sa.Column("words", sa.Text()),
        sa.Column("data_version", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("reply", postgresql.JSONB(), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
    )
    op.create_index(
        "plan_cache_alike",
        "plan_cache",
        ["tenant", "guard", "created_at"],
        postgresql_where=sa.text("guard IS NOT NULL"),
    )
    op.create_index("plan_cache_expired", "plan_cache", ["expires_at"])
    op.create_index("plan_cache_of_tenant", "plan_cache", ["tenant", "created_at"])
    op.create_index("plan_cache_of_task", "plan_cache", ["task_id"])
    op.create_table(
        "data_versions",
        sa.Column("tenant", sa.Text(), primary_key=True),
        sa.Column("agent", sa.Text(), primary_key=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.Column("changed_at", _TIME, server_default=_NOW, nullable=False),
    )


def _add_bulk_requests() -> None:
    op.create_table(
        "bulk_requests",
        sa.Column("key", sa.Text(), primary_key=True),
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("body", postgresql.JSONB(), nullable=False),
        sa.Column("state", sa.Text(), server_default="waiting", nullable=False),
        sa.Column("batch", sa.Text()),
        sa.Column("reply", postgresql.JSONB()),
        sa.Column("error", sa.Text()),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
        sa.Column("sent_at", _TIME),
        sa.Column("answered_at", _TIME),
    )
    op.create_index("bulk_requests_open", "bulk_requests", ["state", "created_at"])
    op.create_index("bulk_requests_of_task", "bulk_requests", ["task_id"])


def _add_model_days() -> None:
    op.create_table(
        "model_days",
        sa.Column("day", sa.Date(), primary_key=True),
        sa.Column("tenant", sa.Text(), primary_key=True),
        sa.Column("agent", sa.Text(), primary_key=True),
        sa.Column("model", sa.Text(), primary_key=True),
        sa.Column("tier", sa.Text(), primary_key=True),
        sa.Column("source", sa.Text(), primary_key=True),
        sa.Column("shard", sa.SmallInteger(), primary_key=True),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger(), nullable=False),
        sa.Column("completion_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cached_tokens", sa.BigInteger(), nullable=False),
        sa.Column("unpriced", sa.BigInteger(), nullable=False),
        sa.Column("cost_usd", sa.Numeric(30, 8), nullable=False),
        sa.Column("saved_usd", sa.Numeric(30, 8), nullable=False),
        sa.Column("saved_by_tier_usd", sa.Numeric(30, 8), nullable=False),
    )
