"""Fairness: which queued task is next, and limits of tenants and agents."""

import sqlalchemy as sa
from alembic import op

from fleet_workers.store.online import create_index, drop_index

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None
works_with = "0008"

_TIME = sa.DateTime(timezone=True)
_NOW = sa.text("now()")
_OWN = "tenant = current_setting('fleet.tenant', true)"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "limits",
        sa.Column("tenant", sa.Text(), primary_key=True),
        sa.Column("agent", sa.Text(), primary_key=True),
        sa.Column("concurrency", sa.Integer()),
        sa.Column("starts", sa.Integer()),
        sa.Column("span_seconds", sa.Double()),
        sa.Column("weight", sa.Double()),
        sa.Column("next_at", _TIME),
        sa.Column("set_by", sa.Text(), nullable=False),
        sa.Column("set_at", _TIME, server_default=_NOW, nullable=False),
    )
    op.execute("GRANT SELECT ON limits TO fleet_tenant")
    op.execute("ALTER TABLE limits ENABLE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY own_tenant ON limits TO fleet_tenant USING ({_OWN})")
    op.execute(
        "CREATE POLICY all_tenants ON limits FOR SELECT TO fleet_tenant USING (tenant = '*')"
    )
    op.add_column("tasks", sa.Column("rank_at", _TIME, server_default=_NOW, nullable=False))
    create_index(
        "tasks_claimable",
        "tasks",
        "agent, tenant, rank_at, id",
        where="state = 'queued' AND due_at IS NULL AND woken_at IS NOT NULL",
    )


def downgrade() -> None:
    """Take back; limits are lost."""
    drop_index("tasks_claimable")
    op.drop_column("tasks", "rank_at")
    op.drop_table("limits")
