"""The review desk: claims, due times, people, labels, samples, feedback, deliveries."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_NOW = sa.text("now()")
_TEXTS = postgresql.ARRAY(sa.Text())
_WAITING = sa.text("state = 'waiting'")
# Never the hash, which nobody needs who is bound to a tenant.
_OF_A_KEY = "id, tenant, role, label, created_at, revoked_at, expires_at, rights, used_at"
_OWN = "tenant = current_setting('fleet.tenant', true)"
_GUARDED = (
    ("people", "SELECT, INSERT, UPDATE"),
    ("api_keys", f"SELECT ({_OF_A_KEY}), INSERT, UPDATE (revoked_at)"),
    # A new password ends the sessions of its person; tokens are no tenant's to read.
    ("desk_sessions", "DELETE, SELECT (person_id, tenant)"),
    ("labels", "SELECT, INSERT"),
    ("samples", "SELECT"),
    ("feedback", "SELECT, INSERT, UPDATE"),
    ("quality_days", "SELECT"),
    ("deliveries", "SELECT, INSERT"),
)


def _added_to_reviews() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("claimed_by", sa.Text()),
        sa.Column("claimed_at", _TIME),
        sa.Column("claimed_until", _TIME),
        sa.Column("priority", sa.SmallInteger(), server_default="2", nullable=False),
        sa.Column(
            "due_at", _TIME, server_default=sa.text("now() + interval '1 day'"), nullable=False
        ),
        sa.Column("group", sa.Text()),
        sa.Column("skills", _TEXTS, server_default="{}", nullable=False),
        sa.Column("assignee", sa.Text()),
        sa.Column("escalation", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("escalate_at", _TIME),
        sa.Column("request_line", sa.Text(), server_default="", nullable=False),
        sa.Column("proposal_line", sa.Text(), server_default="", nullable=False),
        sa.Column("customer", sa.Text()),
        sa.Column("confidence", sa.Double()),
    )


def _added_to_keys() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("expires_at", _TIME),
        sa.Column("rights", _TEXTS),
        sa.Column("used_at", _TIME),
    )


def upgrade() -> None:
    """Apply."""
    _change_reviews()
    for column in _added_to_keys():
        op.add_column("api_keys", column)
    _add_people()
    _add_verdicts()
    _add_quality()
    _add_deliveries()
    # A flagged task opens a review.
    op.execute("GRANT INSERT ON reviews TO fleet_tenant")
    # Who is signed in is looked up before it is known for which tenant.
    op.execute("ALTER TABLE desk_sessions ENABLE ROW LEVEL SECURITY")
    for table, rights in _GUARDED:
        op.execute(f"GRANT {rights} ON {table} TO fleet_tenant")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY own_tenant ON {table} TO fleet_tenant "
            f"USING ({_OWN}) WITH CHECK ({_OWN})"
        )


def downgrade() -> None:
    """Take back."""
    op.execute("REVOKE INSERT ON reviews FROM fleet_tenant")
    op.execute("DROP POLICY own_tenant ON api_keys")
    op.execute("ALTER TABLE api_keys DISABLE ROW LEVEL SECURITY")
    op.execute("REVOKE ALL ON api_keys FROM fleet_tenant")
    op.drop_index("tasks_finished", "tasks")
    for table in (
        "quality_days",
        "signing_keys",
        "chore_marks",
        "deliveries",
        "feedback",
        "samples",
        "labels",
        "desk_sessions",
        "people",
    ):
        op.drop_table(table)
    for column in reversed(_added_to_keys()):
        op.drop_column("api_keys", column.name)
    for index in (
        "reviews_settled",
        "reviews_opened",
        "reviews_to_escalate",
        "reviews_waiting_anywhere",
        "reviews_waiting",
    ):
        op.drop_index(index, "reviews")
    for column in reversed(_added_to_reviews()):
        op.drop_column("reviews", column.name)
    op.create_index(
        "reviews_waiting", "reviews", ["tenant", "created_at"], postgresql_where=_WAITING
    )


def _change_reviews() -> None:
    for column in _added_to_reviews():
        op.add_column("reviews", column)
    op.execute(
        "UPDATE reviews SET due_at = created_at + interval '1 day', "
        "customer = packet->>'customer', request_line = left(coalesce(packet->>'request', ''), 160)"
    )
    op.drop_index("reviews_waiting", "reviews")
    order = ["priority", "due_at", "id"]
    op.create_index("reviews_waiting", "reviews", ["tenant", *order], postgresql_where=_WAITING)
    op.create_index("reviews_waiting_anywhere", "reviews", order, postgresql_where=_WAITING)
    op.create_index(
        "reviews_to_escalate",
        "reviews",
        ["escalate_at"],
        postgresql_where=sa.text("state = 'waiting' AND escalate_at IS NOT NULL"),
    )
    op.create_index("reviews_opened", "reviews", ["created_at"])
    op.create_index(
        "reviews_settled",
        "reviews",
        ["decided_at"],
        postgresql_where=sa.text("decided_at IS NOT NULL"),
    )


def _add_people() -> None:
    op.create_table(
        "people",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False, unique=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text()),
        sa.Column("issuer", sa.Text()),
        sa.Column("subject", sa.Text()),
        sa.Column("groups", _TEXTS, server_default="{}", nullable=False),
        sa.Column("skills", _TEXTS, server_default="{}", nullable=False),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
        sa.Column("seen_at", _TIME),
        sa.Column("disabled_at", _TIME),
    )
    op.create_index("people_by_subject", "people", ["issuer", "subject"], unique=True)
    op.create_index("people_of_tenant", "people", ["tenant", "email"])
    op.create_table(
        "desk_sessions",
        sa.Column("token_hash", sa.LargeBinary(), primary_key=True),
        sa.Column("person_id", sa.Uuid()),
        sa.Column("key_id", sa.Uuid()),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
        sa.Column("seen_at", _TIME, server_default=_NOW, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
    )
    op.create_index("desk_sessions_of_person", "desk_sessions", ["person_id"])
    op.create_index("desk_sessions_expired", "desk_sessions", ["expires_at"])


def _add_verdicts() -> None:
    op.create_table(
        "labels",
        sa.Column("review_id", sa.Uuid(), primary_key=True),
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("release", sa.Text()),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("ruling", sa.Text(), nullable=False),
        sa.Column("right", sa.Boolean()),
        sa.Column("offline", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("proposed", postgresql.JSONB(), nullable=False),
        sa.Column("decided", postgresql.JSONB(), nullable=False),
        sa.Column("confidence", sa.Double()),
        sa.Column("stratum", sa.Text()),
        sa.Column("weight", sa.Double(), server_default="1", nullable=False),
        sa.Column("seconds", sa.Double()),
        sa.Column("decided_by", sa.Text(), nullable=False),
        sa.Column("decided_at", _TIME, server_default=_NOW, nullable=False),
    )
    op.create_index("labels_of_tenant", "labels", ["tenant", "decided_at"])
    op.create_index("labels_of_agent", "labels", ["agent", "decided_at"])
    op.create_table(
        "samples",
        sa.Column("task_id", sa.Uuid(), primary_key=True),
        sa.Column("review_id", sa.Uuid(), nullable=False, unique=True),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("stratum", sa.Text(), nullable=False),
        sa.Column("weight", sa.Double(), nullable=False),
        sa.Column("confidence", sa.Double()),
        sa.Column("novelty", sa.Double()),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
    )
    op.create_index("samples_of_tenant", "samples", ["tenant", "created_at"])
    op.create_table(
        "feedback",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("release", sa.Text()),
        sa.Column("rating", sa.Text()),
        sa.Column("comment", sa.Text(), server_default="", nullable=False),
        sa.Column("flagged", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("review_id", sa.Uuid()),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
    )
    op.create_index("feedback_of_task", "feedback", ["task_id", "source"], unique=True)
    op.create_index("feedback_of_tenant", "feedback", ["tenant", "created_at"])
    op.create_index("feedback_by_time", "feedback", ["created_at"])


def _add_quality() -> None:
    op.create_table(
        "quality_days",
        sa.Column("tenant", sa.Text(), primary_key=True),
        sa.Column("day", sa.Date(), primary_key=True),
        sa.Column("agent", sa.Text(), primary_key=True),
        sa.Column("offline", sa.Boolean(), primary_key=True),
        sa.Column("finished", sa.Integer(), server_default="0", nullable=False),
        sa.Column("alone", sa.Integer(), server_default="0", nullable=False),
        sa.Column("escalated", sa.Integer(), server_default="0", nullable=False),
        sa.Column("cost_usd", sa.Numeric(20, 8), server_default="0", nullable=False),
        sa.Column("latency", postgresql.JSONB(), server_default="{}", nullable=False),
        sa.Column("strata", postgresql.JSONB(), server_default="{}", nullable=False),
    )
    op.create_index(
        "tasks_finished",
        "tasks",
        ["finished_at", "id"],
        postgresql_where=sa.text("finished_at IS NOT NULL"),
    )


def _add_deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("key", sa.Text(), nullable=False, unique=True),
        sa.Column("tenant", sa.Text()),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("body", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
        sa.Column("try_at", _TIME, server_default=_NOW, nullable=False),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("last_error", sa.Text()),
        sa.Column("delivered_at", _TIME),
        sa.Column("gave_up_at", _TIME),
    )
    op.create_index(
        "deliveries_due",
        "deliveries",
        ["channel", "try_at"],
        postgresql_where=sa.text("delivered_at IS NULL AND gave_up_at IS NULL"),
    )
    op.create_index(
        "deliveries_given_up",
        "deliveries",
        ["gave_up_at"],
        postgresql_where=sa.text("gave_up_at IS NOT NULL"),
    )
    op.create_table(
        "chore_marks",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("id", sa.Uuid()),
    )
    op.create_table(
        "signing_keys",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
    )
