"""Presence of workers, order in sessions, pauses, texts by hash, decisions, and replays."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_NOW = sa.text("now()")
_UNWOKEN = sa.text("state = 'queued' AND woken_at IS NULL")
_OPEN_SESSION = sa.text(
    "session_id IS NOT NULL AND state IN ('queued', 'running', 'retrying', 'in_review')"
)


def upgrade() -> None:
    """Apply."""
    op.add_column("tasks", sa.Column("presence", sa.Integer()))
    op.add_column("tasks", sa.Column("silent_from", _TIME))
    op.add_column("tasks", sa.Column("submitted_at", _TIME, server_default=_NOW, nullable=False))
    op.create_index("tasks_unwoken", "tasks", ["created_at"], postgresql_where=_UNWOKEN)
    op.create_index(
        "tasks_session",
        "tasks",
        ["tenant", "session_id", "submitted_at", "id"],
        postgresql_where=_OPEN_SESSION,
    )
    op.create_table(
        "texts",
        sa.Column("hash", sa.LargeBinary(), primary_key=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
    )
    op.create_table(
        "pauses",
        sa.Column("agent", sa.Text(), primary_key=True),
        sa.Column("tenant", sa.Text(), primary_key=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("paused_by", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
    )
    op.add_column("reviews", sa.Column("decided_by", sa.Text()))
    op.create_index(
        "reviews_decided",
        "reviews",
        ["decided_at"],
        postgresql_where=sa.text("state = 'decided'"),
    )
    op.add_column("dead_letters", sa.Column("cause", sa.Text(), server_default="", nullable=False))
    op.add_column("dead_letters", sa.Column("settled_by", sa.Text()))
    op.add_column("dead_letters", sa.Column("settled_reason", sa.Text()))
    op.create_table(
        "replays",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("tenant", sa.Text()),
        sa.Column("filter", postgresql.JSONB(), nullable=False),
        sa.Column("per_second", sa.Numeric(10, 3), nullable=False),
        sa.Column("matched", sa.Integer(), nullable=False),
        sa.Column("replayed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("refused", sa.Integer(), server_default="0", nullable=False),
        sa.Column("refusals", postgresql.JSONB(), server_default="[]", nullable=False),
        sa.Column("passed_at", _TIME),
        sa.Column("passed_id", sa.Uuid()),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
        sa.Column("next_at", _TIME, server_default=_NOW, nullable=False),
        sa.Column("finished_at", _TIME),
    )
    op.create_index(
        "replays_open", "replays", ["next_at"], postgresql_where=sa.text("finished_at IS NULL")
    )


def downgrade() -> None:
    """Take back."""
    op.drop_index(
        "replays_open",
        table_name="replays",
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    op.drop_table("replays")
    op.drop_column("dead_letters", "settled_reason")
    op.drop_column("dead_letters", "settled_by")
    op.drop_column("dead_letters", "cause")
    op.drop_index(
        "reviews_decided", table_name="reviews", postgresql_where=sa.text("state = 'decided'")
    )
    op.drop_column("reviews", "decided_by")
    op.drop_table("pauses")
    op.drop_table("texts")
    op.drop_index("tasks_session", table_name="tasks", postgresql_where=_OPEN_SESSION)
    op.drop_index("tasks_unwoken", table_name="tasks", postgresql_where=_UNWOKEN)
    op.drop_column("tasks", "submitted_at")
    op.drop_column("tasks", "silent_from")
    op.drop_column("tasks", "presence")
