"""What is spent, and rights that are withheld."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_NOW = sa.text("now()")
_OWN = "tenant = current_setting('fleet.tenant', true)"
_GUARDED = (("spend_entries", "SELECT"), ("withheld_rights", "SELECT, INSERT, DELETE"))
_USD = sa.Numeric(20, 8)
_TOTAL_USD = sa.Numeric(30, 8)


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "spend_entries",
        sa.Column("key", sa.Text(), primary_key=True),
        sa.Column("kind", sa.Text(), primary_key=True),
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("customer", sa.Text()),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("amount_usd", _USD, nullable=False),
        sa.Column("counted", postgresql.JSONB(), nullable=False),
        sa.Column("state", sa.Text(), server_default="reserved", nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
        sa.Column("settled_at", _TIME),
    )
    op.create_index("spend_entries_of_tenant", "spend_entries", ["tenant", "day"])
    op.create_table(
        "spend_totals",
        sa.Column("kind", sa.Text(), primary_key=True),
        sa.Column("subject", sa.Text(), primary_key=True),
        sa.Column("day", sa.Date(), primary_key=True),
        sa.Column("amount_usd", _TOTAL_USD, nullable=False),
    )
    op.create_table(
        "withheld_rights",
        sa.Column("tenant", sa.Text(), primary_key=True),
        sa.Column("customer", sa.Text(), primary_key=True),
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("withheld_by", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
    )
    for table, rights in _GUARDED:
        op.execute(f"GRANT {rights} ON {table} TO fleet_tenant")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY own_tenant ON {table} TO fleet_tenant "
            f"USING ({_OWN}) WITH CHECK ({_OWN})"
        )


def downgrade() -> None:
    """Take back."""
    op.drop_table("withheld_rights")
    op.drop_table("spend_totals")
    op.drop_table("spend_entries")
