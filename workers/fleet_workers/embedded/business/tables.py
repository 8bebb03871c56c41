"""The tables of the sandbox business. Money is in whole US cents, days are ISO texts."""

from typing import Final

from sqlalchemy import DDL, CheckConstraint, Column, Index, Integer, MetaData, Table, Text, event

metadata: Final = MetaData()


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False)


def _optional(name: str) -> Column[str]:
    return Column(name, Text, nullable=True)


def _number(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False)


def _id() -> Column[str]:
    return Column("id", Text, primary_key=True)


def _owner() -> tuple[Column[str], Column[str]]:
    return Column("tenant", Text, nullable=False), Column(
        "customer", Text, nullable=False, index=True
    )


plans: Final = Table(
    "plans",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    _text("name"),
    _number("price_cents"),
    _text("period"),
    _number("seats"),
    _number("storage_gb"),
)

customers: Final = Table(
    "customers",
    metadata,
    _id(),
    Column("tenant", Text, nullable=False, index=True),
    _text("name"),
    _text("company"),
    _text("email"),
    _text("since"),
)

subscriptions: Final = Table(
    "subscriptions",
    metadata,
    _id(),
    Column("tenant", Text, nullable=False),
    Column("customer", Text, nullable=False, unique=True),
    _text("plan"),
    _text("status"),
    _text("started_on"),
    _optional("renews_on"),
    _optional("ended_on"),
)

invoices: Final = Table(
    "invoices",
    metadata,
    _id(),
    *_owner(),
    _text("issued_on"),
    _text("due_on"),
    _text("status"),
    _number("total_cents"),
)

invoice_lines: Final = Table(
    "invoice_lines",
    metadata,
    Column("invoice", Text, primary_key=True),
    Column("position", Integer, primary_key=True),
    _text("description"),
    _number("amount_cents"),
)

payments: Final = Table(
    "payments",
    metadata,
    _id(),
    *_owner(),
    Column("invoice", Text, nullable=False, index=True),
    _text("paid_on"),
    _number("amount_cents"),
    _text("method"),
    _text("status"),
    _optional("failure"),
)

refunds: Final = Table(
    "refunds",
    metadata,
    _id(),
    *_owner(),
    Column("payment", Text, nullable=False, index=True),
    _number("amount_cents"),
    _text("reason"),
    _text("refunded_on"),
    CheckConstraint("amount_cents > 0"),
)

account_credits: Final = Table(
    "credits",
    metadata,
    _id(),
    *_owner(),
    _number("amount_cents"),
    _text("reason"),
    _text("granted_on"),
    _optional("used_on"),
)

services: Final = Table(
    "services",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    _text("status"),
    _text("note"),
)

incidents: Final = Table(
    "incidents",
    metadata,
    _id(),
    Column("tenant", Text, nullable=False, index=True),
    _optional("customer"),
    _text("service"),
    _text("title"),
    _text("description"),
    _text("severity"),
    _text("status"),
    _text("opened_on"),
)

help_articles: Final = Table(
    "help_articles",
    metadata,
    _id(),
    Column("tenant", Text, nullable=False, index=True),
    _text("title"),
    _text("body"),
    _text("tags"),
)

workspaces: Final = Table(
    "workspaces",
    metadata,
    _id(),
    *_owner(),
    _text("name"),
    _text("region"),
    _text("status"),
    _optional("suspended_because"),
    _number("storage_used_gb"),
    _number("failed_webhooks"),
    _text("api_access"),
    _text("created_on"),
)

members: Final = Table(
    "members",
    metadata,
    Column("workspace", Text, primary_key=True),
    Column("email", Text, primary_key=True),
    _text("role"),
    _text("status"),
)

invitations: Final = Table(
    "invitations",
    metadata,
    _id(),
    Column("workspace", Text, nullable=False, index=True),
    _text("email"),
    _text("role"),
    _text("status"),
    _text("sent_on"),
)

imports: Final = Table(
    "imports",
    metadata,
    _id(),
    Column("workspace", Text, nullable=False, index=True),
    _text("source"),
    _text("status"),
    _number("rows_done"),
    _number("rows_total"),
    _optional("error"),
    _text("started_on"),
)

slots: Final = Table(
    "slots",
    metadata,
    _id(),
    Column("tenant", Text, nullable=False, index=True),
    _text("starts_at"),
    _number("minutes"),
    _text("host"),
)

sessions: Final = Table(
    "sessions",
    metadata,
    _id(),
    *_owner(),
    Column("slot", Text, nullable=False, unique=True),
    _text("topic"),
)

credential_resets: Final = Table(
    "credential_resets",
    metadata,
    _id(),
    *_owner(),
    _text("email"),
    _text("kind"),
    _text("requested_on"),
)

effects: Final = Table(
    "effects",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    *_owner(),
    _text("action"),
    _text("arguments"),
    _optional("idempotency_key"),
    _text("outcome"),
    _number("status"),
    _text("answer"),
    _text("at"),
    CheckConstraint("outcome IN ('applied', 'refused', 'replayed', 'conflict')"),
    sqlite_autoincrement=True,
)

# A key decides once: whatever code may do, a second decision under it cannot be written.
Index(
    "effects_one_decision_per_key",
    effects.c.tenant,
    effects.c.idempotency_key,
    unique=True,
    sqlite_where=effects.c.outcome.in_(("applied", "refused")),
)

for _verb in ("UPDATE", "DELETE"):
    event.listen(
        effects,
        "after_create",
        DDL(  # type: ignore[no-untyped-call]  # SQLAlchemy has not annotated it
            f"CREATE TRIGGER effects_refuse_{_verb.lower()} BEFORE {_verb} ON effects "
            "BEGIN SELECT RAISE(ABORT, 'effects are append-only'); END"
        ),
    )
