"""The audit trail: an inbox, the chain of entries, and triggers that let neither be changed."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)

_REFUSE = """
CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'The audit trail is append-only: % on % is refused.', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$
"""
# An entry leaves the inbox only once it stands in the chain with the same content.
_ONLY_SEALED = """
CREATE FUNCTION audit_only_sealed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM removed LEFT JOIN audit ON audit.id = removed.id
        WHERE (removed.at, removed.kind, removed.who, removed.what, removed.why, removed.tenant,
                removed.task_id, removed.trace, removed.detail)
            IS DISTINCT FROM (audit.at, audit.kind, audit.who, audit.what, audit.why, audit.tenant,
                audit.task_id, audit.trace, audit.detail)
    ) THEN
        RAISE EXCEPTION 'The audit trail is append-only: an entry that is not sealed stays.'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END $$
"""


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "audit_inbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column("at", _TIME, server_default=sa.text("clock_timestamp()"), nullable=False),
        *_content(),
    )
    op.create_table(
        "audit",
        sa.Column("position", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("id", sa.BigInteger(), nullable=False, unique=True),
        sa.Column("at", _TIME, nullable=False),
        *_content(),
    )
    op.create_index(
        "audit_of_task", "audit", ["task_id"], postgresql_where=sa.text("task_id IS NOT NULL")
    )
    op.create_index("audit_of_tenant", "audit", ["tenant", "position"])
    op.create_index("audit_by_time", "audit", ["at"], postgresql_using="brin")
    op.create_index(
        "audit_releases", "audit", ["what"], postgresql_where=sa.text("kind = 'release'")
    )
    op.execute(_REFUSE)
    op.execute(_ONLY_SEALED)
    for table, events in (
        ("audit", "UPDATE OR DELETE OR TRUNCATE"),
        ("audit_inbox", "UPDATE OR TRUNCATE"),
    ):
        op.execute(
            f"CREATE TRIGGER append_only BEFORE {events} ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()"
        )
    op.execute(
        "CREATE TRIGGER only_sealed AFTER DELETE ON audit_inbox "
        "REFERENCING OLD TABLE AS removed "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_only_sealed()"
    )
    op.execute("ALTER TABLE audit ENABLE ALWAYS TRIGGER append_only")
    op.execute("ALTER TABLE audit_inbox ENABLE ALWAYS TRIGGER append_only")
    op.execute("ALTER TABLE audit_inbox ENABLE ALWAYS TRIGGER only_sealed")


def downgrade() -> None:
    """Take back."""
    op.drop_table("audit_inbox")
    op.drop_table("audit")
    op.execute("DROP FUNCTION audit_only_sealed()")
    op.execute("DROP FUNCTION audit_refuse()")


def _content() -> list[sa.Column[object]]:
    return [
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text()),
        sa.Column("task_id", sa.Uuid()),
        sa.Column("trace", sa.Text()),
        sa.Column("detail", postgresql.JSONB(), nullable=False),
    ]
