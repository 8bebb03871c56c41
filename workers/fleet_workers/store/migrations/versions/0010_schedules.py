"""Schedules, and tasks that are put off or replaced by a later one."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from fleet_workers.store.online import create_index, drop_index

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None
works_with = "0008"

_TIME = sa.DateTime(timezone=True)
_NOW = sa.text("now()")
_OWN = "tenant = current_setting('fleet.tenant', true)"
_RIGHTS = {
    "debounce_windows": "SELECT, INSERT, UPDATE",
    "schedules": "SELECT, INSERT, UPDATE, DELETE",
}


def upgrade() -> None:
    """Apply."""
    _add_debounce_windows()
    _add_schedules()
    for table, rights in _RIGHTS.items():
        op.execute(f"GRANT {rights} ON {table} TO fleet_tenant")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY own_tenant ON {table} TO fleet_tenant "
            f"USING ({_OWN}) WITH CHECK ({_OWN})"
        )
    create_index(
        "tasks_put_off", "tasks", "due_at", where="state = 'queued' AND due_at IS NOT NULL"
    )
    create_index(
        "tasks_debounced",
        "tasks",
        "tenant, agent, (envelope ->> 'debounce_key'), submitted_at",
        where="state = 'queued' AND due_at IS NOT NULL AND envelope ? 'debounce_key'",
    )


def downgrade() -> None:
    """Take back; schedules are lost, and tasks that were put off run at once."""
    drop_index("tasks_debounced")
    drop_index("tasks_put_off")
    for table in _RIGHTS:
        op.drop_table(table)


def _add_debounce_windows() -> None:
    op.create_table(
        "debounce_windows",
        sa.Column("tenant", sa.Text(), primary_key=True),
        sa.Column("agent", sa.Text(), primary_key=True),
        sa.Column("key", sa.Text(), primary_key=True),
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("submitted_at", _TIME, nullable=False),
        sa.Column("came_at", _TIME, nullable=False),
        sa.Column("opened_at", _TIME, nullable=False),
        sa.Column("closes_at", _TIME, nullable=False),
        sa.Column("kept_until", _TIME, nullable=False),
        postgresql_with={"fillfactor": "50"},
    )


def _add_schedules() -> None:
    op.create_table(
        "schedules",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("cron", sa.Text(), nullable=False),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("missed", sa.Text(), nullable=False),
        sa.Column("task", postgresql.JSONB(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("next_at", _TIME),
        sa.Column("reckoned_at", _TIME, server_default=_NOW, nullable=False),
        sa.Column("last_at", _TIME),
        sa.Column("last_task", sa.Uuid()),
        sa.Column("last_error", sa.Text()),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
        sa.UniqueConstraint("tenant", "name"),
        sa.CheckConstraint("missed IN ('once', 'skip', 'all')"),
        sa.CheckConstraint("jsonb_typeof(task) = 'object'"),
    )
    op.create_index("schedules_due", "schedules", ["next_at"], postgresql_where=sa.text("enabled"))
