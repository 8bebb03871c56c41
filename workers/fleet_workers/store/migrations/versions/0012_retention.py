"""Retention: finished journals by month, what lets old audit entries go, and erasures."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from fleet_workers.store import online

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None
works_with = "0008"

_TIME = sa.DateTime(timezone=True)
_NOW = sa.text("now()")
_OWN = "tenant = current_setting('fleet.tenant', true)"

# As in 0004, but for a deletion that the second trigger looks at.
_REFUSE = """
CREATE OR REPLACE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND TG_TABLE_NAME = 'audit'
        AND current_setting('fleet.audit_retention', true) = 'on' THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'The audit trail is append-only: % on % is refused.', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$
"""
# Entries leave the chain at its beginning only, and only those up to a checkpoint: an entry that
# is itself sealed and tells the hash up to which the chain was dropped.
_ONLY_DROPPED = """
CREATE FUNCTION audit_only_dropped() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    last bigint;
BEGIN
    SELECT max(position) INTO last FROM removed;
    IF last IS NOT NULL AND (
        EXISTS (SELECT FROM audit WHERE position < last)
        OR NOT EXISTS (
            SELECT FROM audit
            WHERE kind = 'retention' AND position > last
                AND CAST(detail ->> 'through' AS bigint) >= last
        )
    ) THEN
        RAISE EXCEPTION 'The audit trail is append-only: no sealed checkpoint lets these go.'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END $$
"""
_REFUSE_BEFORE = """
CREATE OR REPLACE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'The audit trail is append-only: % on % is refused.', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$
"""


def upgrade() -> None:
    """Apply."""
    online.create_index("audit_checkpoints", "audit", "position", where="kind = 'retention'")
    # For deletion by time: of some kilobytes, as rows lie in the order of their time.
    online.create_index("task_events_by_time", "task_events", "at", using="brin")
    online.create_index("spend_entries_by_day", "spend_entries", "day", using="brin")
    _add_finished_steps()
    _add_erasures()
    op.execute(_ONLY_DROPPED)
    op.execute(
        "CREATE TRIGGER only_dropped AFTER DELETE ON audit REFERENCING OLD TABLE AS removed "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_only_dropped()"
    )
    op.execute("ALTER TABLE audit ENABLE ALWAYS TRIGGER only_dropped")
    op.execute(_REFUSE)


def downgrade() -> None:
    """Take back; journals that were moved go back to where older code looks for them."""
    op.execute(_REFUSE_BEFORE)
    op.execute("DROP TRIGGER only_dropped ON audit")
    op.execute("DROP FUNCTION audit_only_dropped()")
    for index in ("audit_checkpoints", "task_events_by_time", "spend_entries_by_day"):
        online.drop_index(index)
    op.execute(
        "INSERT INTO steps SELECT task_id, seq, epoch, kind, name, state, request, result, model, "
        "tokens, cost_usd, started_at, finished_at FROM finished_steps ON CONFLICT DO NOTHING"
    )
    op.drop_table("finished_steps")
    op.drop_table("erasure_tasks")
    op.drop_table("erasures")
    op.execute("DELETE FROM chore_marks WHERE name IN ('finished_steps', 'retention')")


def _add_finished_steps() -> None:
    op.create_table(
        "finished_steps",
        sa.Column("task_id", sa.Uuid(), primary_key=True),
        sa.Column("seq", sa.Integer(), primary_key=True),
        sa.Column("ended_at", _TIME, primary_key=True),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("request", postgresql.JSONB(), nullable=False),
        sa.Column("result", postgresql.JSONB()),
        sa.Column("model", sa.Text()),
        sa.Column("tokens", sa.Integer()),
        sa.Column("cost_usd", sa.Numeric(12, 6)),
        sa.Column("started_at", _TIME, server_default=_NOW, nullable=False),
        sa.Column("finished_at", _TIME),
        postgresql_partition_by="RANGE (ended_at)",
    )
    op.create_index(
        "finished_steps_by_time", "finished_steps", ["ended_at"], postgresql_using="brin"
    )
    # A month whose partition is missing costs nothing but speed.
    op.execute("CREATE TABLE finished_steps_rest PARTITION OF finished_steps DEFAULT")
    for table in ("finished_steps", "finished_steps_rest"):
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute("GRANT SELECT ON finished_steps TO fleet_tenant")
    op.execute(
        f"CREATE POLICY own_tenant ON finished_steps TO fleet_tenant "
        f"USING ({_OWN}) WITH CHECK ({_OWN})"
    )


def _add_erasures() -> None:
    op.create_table(
        "erasures",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("customer", sa.Text()),
        sa.Column("cancel_open", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
        sa.Column("due_at", _TIME, server_default=_NOW, nullable=False),
        sa.Column("listed_at", _TIME),
        sa.Column("finished_at", _TIME),
        sa.Column("last_error", sa.Text()),
        sa.Column("erased", postgresql.JSONB(), server_default="{}", nullable=False),
    )
    op.create_index(
        "erasures_open", "erasures", ["due_at"], postgresql_where=sa.text("finished_at IS NULL")
    )
    op.create_index("erasures_of_tenant", "erasures", ["tenant", "created_at"])
    op.create_table(
        "erasure_tasks",
        sa.Column("erasure_id", sa.Uuid(), primary_key=True),
        sa.Column("task_id", sa.Uuid(), primary_key=True),
    )
    op.execute("GRANT SELECT, INSERT ON erasures TO fleet_tenant")
    op.execute("ALTER TABLE erasures ENABLE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY own_tenant ON erasures TO fleet_tenant USING ({_OWN}) WITH CHECK ({_OWN})"
    )
