"""Every table of the store. Migrations create them; this file is what the code writes against."""

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Double,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = MetaData()

_TIME = DateTime(timezone=True)
_NOW = text("now()")

tasks = Table(
    "tasks",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Column("requested_agent", Text, nullable=False),
    Column("release", Text),
    Column("state", Text, nullable=False),
    Column("customer", Text),
    Column("session_id", Text),
    Column("envelope", JSONB, nullable=False),
    Column("content_hash", Text, nullable=False),
    Column("traceparent", Text),
    Column("epoch", Integer, nullable=False, server_default="0"),
    Column("worker", Text),
    Column("presence", Integer),
    Column("lease_until", _TIME),
    Column("silent_from", _TIME),
    Column("deliveries", Integer, nullable=False, server_default="0"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("due_at", _TIME),
    Column("woken_at", _TIME),
    Column("deadline", _TIME),
    Column("outcome", JSONB),
    Column("last_error", JSONB),
    Column("submitted_at", _TIME, nullable=False, server_default=_NOW),
    Column("rank_at", _TIME, nullable=False, server_default=_NOW),
    Column("created_at", _TIME, nullable=False, server_default=_NOW),
    Column("started_at", _TIME),
    Column("finished_at", _TIME),
    # Partial indexes cover open tasks only, so their size does not grow with history. The lease
    # and the wake-up time stand in none, so that renewing them is a heap-only update.
    Index("tasks_running", "agent", postgresql_where=text("state = 'running'")),
    Index("tasks_queued", "agent", postgresql_where=text("state = 'queued'")),
    # Which task is next: a walk over tenants that touches one entry of each.
    Index(
        "tasks_claimable",
        "agent",
        "tenant",
        "rank_at",
        "id",
        postgresql_where=text("state = 'queued' AND due_at IS NULL AND woken_at IS NOT NULL"),
    ),
    Index("tasks_due", "due_at", postgresql_where=text("state = 'retrying'")),
    Index(
        "tasks_put_off",
        "due_at",
        postgresql_where=text("state = 'queued' AND due_at IS NOT NULL"),
    ),
    Index(
        "tasks_debounced",
        "tenant",
        "agent",
        text("(envelope ->> 'debounce_key')"),
        "submitted_at",
        postgresql_where=text(
            "state = 'queued' AND due_at IS NOT NULL AND envelope ? 'debounce_key'"
        ),
    ),
    Index(
        "tasks_deadline",
        "deadline",
        postgresql_where=text(
            "deadline IS NOT NULL AND state IN ('queued', 'running', 'retrying', 'in_review')"
        ),
    ),
    # Queued tasks whose message was used up while they might not run: paused, or not their turn.
    Index(
        "tasks_unwoken",
        "created_at",
        postgresql_where=text("state = 'queued' AND woken_at IS NULL"),
    ),
    Index(
        "tasks_session",
        "tenant",
        "session_id",
        "submitted_at",
        "id",
        postgresql_where=text(
            "session_id IS NOT NULL AND state IN ('queued', 'running', 'retrying', 'in_review')"
        ),
    ),
    Index("tasks_by_tenant", "tenant", "created_at"),
    # For a chore that goes through what has finished; only a task's end writes to it.
    Index("tasks_finished", "finished_at", "id", postgresql_where=text("finished_at IS NOT NULL")),
    postgresql_with={"fillfactor": "80"},
)

steps = Table(
    "steps",
    metadata,
    Column("task_id", Uuid, primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("epoch", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("request", JSONB, nullable=False),
    Column("result", JSONB),
    Column("model", Text),
    Column("tokens", Integer),
    Column("cost_usd", Numeric(12, 6)),
    Column("started_at", _TIME, nullable=False, server_default=_NOW),
    Column("finished_at", _TIME),
    postgresql_with={"fillfactor": "80"},
)

texts = Table(
    "texts",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("body", Text, nullable=False),
    Column("created_at", _TIME, nullable=False, server_default=_NOW),
)

pauses = Table(
    "pauses",
    metadata,
    Column("agent", Text, primary_key=True),
    Column("tenant", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("paused_by", Text, nullable=False),
    Column("created_at", _TIME, nullable=False, server_default=_NOW),
)

reviews = Table(
    "reviews",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("task_id", Uuid, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("state", Text, nullable=False, server_default="waiting"),
    Column("packet", JSONB, nullable=False),
    Column("created_at", _TIME, nullable=False, server_default=_NOW),
    Column("decided_at", _TIME),
    Column("decided_by", Text),
    Column("decision", JSONB),
    Column("claimed_by", Text),
    Column("claimed_at", _TIME),
    Column("claimed_until", _TIME),
    Column("priority", SmallInteger, nullable=False, server_default="2"),
    Column("due_at", _TIME, nullable=False, server_default=text("now() + interval '1 day'")),
    Column("group", Text),
    Column("skills", ARRAY(Text), nullable=False, server_default="{}"),
    Column("assignee", Text),
    Column("escalation", SmallInteger, nullable=False, server_default="0"),
    Column("escalate_at", _TIME),
    # What a list shows, so that it never reads packets.
    Column("request_line", Text, nullable=False, server_default=""),
    Column("proposal_line", Text, nullable=False, server_default=""),
    Column("customer", Text),
    Column("confidence", Double),
    Index("reviews_decided", "decided_at", postgresql_where=text("state = 'decided'")),
    Index(
        "reviews_waiting",
        "tenant",
        "priority",
        "due_at",
        "id",
        postgresql_where=text("state = 'waiting'"),
    ),
    Index(
        "reviews_waiting_anywhere",
        "priority",
        "due_at",
        "id",
        postgresql_where=text("state = 'waiting'"),
    ),
    Index(
        "reviews_to_escalate",
        "escalate_at",
        postgresql_where=text("state = 'waiting' AND escalate_at IS NOT NULL"),
    ),
    # For the chore that tells other systems: it goes through what was opened and decided lately.
    Index("reviews_opened", "created_at"),
    Index("reviews_settled", "decided_at", postgresql_where=text("decided_at IS NOT NULL")),
    Index("reviews_of_task", "task_id"),
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("task_id", Uuid),
    Column("tenant", Text),
    Column("agent", Text),
    Column("queue", Text),
    Column("reason", Text, nullable=False),
    Column("error", Text, nullable=False),
    Column("cause", Text, nullable=False, server_default=""),
    Column("body", Text, nullable=False),
    Column("attempts", JSONB, nullable=False, server_default="[]"),
    Column("traceparent", Text),
    Column("created_at", _TIME, nullable=False, server_default=_NOW),
    Column("settled_at", _TIME),
    Column("settled_as", Text),
    Column("settled_by", Text),
    Column("settled_reason", Text),
    Index("dead_letters_open", "created_at", postgresql_where=text("settled_at IS NULL")),
    Index("dead_letters_of_task", "task_id"),
)

replays = Table(
    "replays",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant", Text),
    Column("filter", JSONB, nullable=False),
    Column("per_second", Numeric(10, 3), nullable=False),
    Column("matched", Integer, nullable=False),
    Column("replayed", Integer, nullable=False, server_default="0"),
    Column("refused", Integer, nullable=False, server_default="0"),
    Column("refusals", JSONB, nullable=False, server_default="[]"),
    Column("passed_at", _TIME),
    Column("passed_id", Uuid),
    Column("requested_by", Text, nullable=False),
    Column("created_at", _TIME, nullable=False, server_default=_NOW),
    Column("next_at", _TIME, nullable=False, server_default=_NOW),
    Column("finished_at", _TIME),
    Index("replays_open", "next_at", postgresql_where=text("finished_at IS NULL")),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("exchange", Text, nullable=False),
    Column("routing_key", Text, nullable=False),
    Column("headers", JSONB, nullable=False),
    Column("properties", JSONB, nullable=False),
    Column("body", Text, nullable=False),
    Column("created_at", _TIME, nullable=False, server_default=_NOW),
    Column("try_at", _TIME, nullable=False, server_default=_NOW),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("last_error", Text),
    Index("outbox_due", "try_at"),
)

tenants = Table(
    "tenants",
    metadata,
    Column("name", Text, primary_key=True),
    Column("created_at", _TIME, nullable=False, server_default=_NOW),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("key_hash", LargeBinary, nullable=False, unique=True),
    Column("created_at", _TIME, nullable=False, server_default=_NOW),
    Column("revoked_at", _TIME),
    Column("expires_at", _TIME),
    Column("rights", ARRAY(Text)),
    Column("used_at", _TIME),
)

tool_switches = Table(
    "tool_switches",
    metadata,
    Column("tool", Text, primary_key=True),
    Column("tenant", Text, primary_key=True),
    Column("agent", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("disabled_by", Text, nullable=False),
    Column("created_at", _TIME, nullable=False, server_default=_NOW),
)
