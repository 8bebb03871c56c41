"""What other services are told: each change of a task's state, and how far it was told."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None
works_with = "0008"

_TIME = sa.DateTime(timezone=True)
_OWN = "tenant = current_setting('fleet.tenant', true)"

# Every statement that changes a state does it through here, those of older code included.
_NOTE = """
CREATE FUNCTION note_task_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO task_events (task_id, tenant, agent, state, attempts, kind, code)
    VALUES (NEW.id, NEW.tenant, NEW.agent, NEW.state, NEW.attempts,
        CASE WHEN NEW.state IN ('succeeded', 'rejected', 'in_review', 'dead')
            THEN NEW.outcome ->> 'kind' END,
        CASE NEW.state WHEN 'in_review' THEN NEW.outcome ->> 'review_kind'
            WHEN 'retrying' THEN NEW.last_error ->> 'code'
            WHEN 'dead' THEN NEW.last_error ->> 'code' END);
    RETURN NULL;
END $$
"""


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "task_events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text()),
        sa.Column("code", sa.Text()),
        sa.Column("at", _TIME, server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("place", sa.BigInteger()),
        sa.PrimaryKeyConstraint("task_id", "id"),
    )
    op.create_index(
        "task_events_unplaced",
        "task_events",
        ["id"],
        postgresql_where=sa.text("place IS NULL"),
    )
    op.create_index(
        "task_events_placed",
        "task_events",
        ["place"],
        postgresql_where=sa.text("place IS NOT NULL"),
    )
    op.create_table(
        "event_marks",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("place", sa.BigInteger(), nullable=False),
        sa.Column("lent_until", _TIME, server_default=sa.text("'-infinity'"), nullable=False),
    )
    op.create_table(
        "intake_taken",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), primary_key=True),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("session", sa.Uuid(), nullable=False),
        sa.Column("taken_at", _TIME, server_default=sa.text("now()"), nullable=False),
    )
    op.create_index("intake_taken_by_content", "intake_taken", ["content"])
    op.execute("GRANT SELECT, INSERT ON task_events TO fleet_tenant")
    op.execute("GRANT SELECT ON event_marks TO fleet_tenant")  # numbers of no tenant
    op.execute("ALTER TABLE task_events ENABLE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY own_tenant ON task_events TO fleet_tenant "
        f"USING ({_OWN}) WITH CHECK ({_OWN})"
    )
    op.execute(_NOTE)
    op.execute(
        "CREATE TRIGGER task_begins AFTER INSERT ON tasks "
        "FOR EACH ROW EXECUTE FUNCTION note_task_event()"
    )
    op.execute(
        "CREATE TRIGGER task_changes AFTER UPDATE OF state ON tasks "
        "FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state) "
        "EXECUTE FUNCTION note_task_event()"
    )


def downgrade() -> None:
    """Take back; what was not told yet is lost."""
    op.execute("DROP TRIGGER task_changes ON tasks")
    op.execute("DROP TRIGGER task_begins ON tasks")
    op.execute("DROP FUNCTION note_task_event()")
    op.drop_table("intake_taken")
    op.drop_table("event_marks")
    op.drop_table("task_events")
