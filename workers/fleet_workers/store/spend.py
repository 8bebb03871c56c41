"""The ledger of money: reserved before it is spent, settled after, bounded by limits.

`moved` is what tools pay out, refund or charge; `cost` is what models and tools cost. Totals are
kept by task, customer and tenant, a customer's and a tenant's by day (UTC).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection, func, select, update
from sqlalchemy.dialects.postgresql import insert

from fleet_contracts.errors import BudgetError
from fleet_workers.store.money_tables import spend_entries, spend_totals

SpendKind = Literal["moved", "cost"]

_ALWAYS = date(1970, 1, 1)  # the day of totals that are not by day


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A limit in US dollars on a total. `said` is how it is called in an error: "a day's …"."""

    subject: str
    by_day: bool
    limit_usd: Decimal | None
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Expense:
    """What is about to be spent. `key` and `kind` name it: reserved again, it counts once."""

    key: str
    kind: SpendKind
    task_id: UUID
    tenant: str
    agent: str
    customer: str | None
    purpose: str
    amount_usd: Decimal


class Spent(BaseModel):
    """What one tenant's agent spent on a day, reserved sums included."""

    model_config = ConfigDict(frozen=True)

    tenant: str
    agent: str
    day: date
    kind: str
    amount_usd: Decimal
    entries: int


def task_total(task_id: UUID) -> str:
    """The subject of a task's totals."""
    return f"task {task_id}"


def tenant_total(tenant: str) -> str:
    """The subject of a tenant's totals."""
    return f"tenant {tenant}"


def customer_total(tenant: str, customer: str) -> str:
    """The subject of a customer's totals; a length in front keeps names with spaces apart."""
    return f"customer {len(tenant)} {tenant} {customer}"


def reserve(connection: Connection, expense: Expense, bounds: Iterable[Bound]) -> None:
    """Reserve an expense in all totals, or in none of them.

    The totals' rows are locked in one order until the transaction ends, so that workers that
    spend at the same time go one after another and none gets past a limit.

    Raises:
        BudgetError: A limit would be passed; the text names it. Roll the transaction back.
    """
    today = datetime.now(UTC).date()
    if not _note(connection, expense, today):
        return
    for bound in sorted(bounds, key=lambda each: (each.subject, each.by_day)):
        _add(connection, expense, bound, today if bound.by_day else _ALWAYS)


def settle(
    connection: Connection,
    key: str,
    kind: SpendKind,
    subjects: Iterable[tuple[str, bool]],
    *,
    amount_usd: Decimal,
) -> None:
    """Turn a reservation into what was really spent; zero gives it back. Once only.

    `subjects` are those that it was reserved for, each with whether it is by day.
    """
    entry = connection.execute(
        update(spend_entries)
        .where(
            spend_entries.c.key == key,
            spend_entries.c.kind == kind,
            spend_entries.c.state == "reserved",
        )
        .values(state="spent" if amount_usd else "released", settled_at=func.now())
        .returning(spend_entries.c.amount_usd, spend_entries.c.day)
    ).one_or_none()
    if entry is None or entry.amount_usd == amount_usd:
        return
    connection.execute(
        update(spend_entries)
        .where(spend_entries.c.key == key, spend_entries.c.kind == kind)
        .values(amount_usd=amount_usd)
    )
    for subject, by_day in sorted(subjects):
        connection.execute(
            update(spend_totals)
            .where(
                spend_totals.c.kind == kind,
                spend_totals.c.subject == subject,
                spend_totals.c.day == (entry.day if by_day else _ALWAYS),
            )
            .values(amount_usd=spend_totals.c.amount_usd - entry.amount_usd + amount_usd)
        )


def spent(
    connection: Connection, *, tenant: str | None, since: date, limit: int = 500
) -> list[Spent]:
    """What was spent by tenant, agent, day and kind, the newest day first."""
    amount = func.sum(spend_entries.c.amount_usd).label("amount_usd")
    columns = (
        spend_entries.c.tenant,
        spend_entries.c.agent,
        spend_entries.c.day,
        spend_entries.c.kind,
    )
    query = (
        select(*columns, amount, func.count().label("entries"))
        .where(spend_entries.c.day >= since, spend_entries.c.state != "released")
        .group_by(*columns)
        .order_by(spend_entries.c.day.desc(), amount.desc())
        .limit(limit)
    )
    if tenant is not None:
        query = query.where(spend_entries.c.tenant == tenant)
    return [Spent.model_validate(dict(row)) for row in connection.execute(query).mappings()]


def _note(connection: Connection, expense: Expense, today: date) -> bool:
    """Write the entry; tells whether it is new."""
    values: dict[str, Any] = {
        "key": expense.key,
        "kind": expense.kind,
        "task_id": expense.task_id,
        "tenant": expense.tenant,
        "agent": expense.agent,
        "customer": expense.customer,
        "purpose": expense.purpose,
        "amount_usd": expense.amount_usd,
        "day": today,
    }
    statement = insert(spend_entries).values(values)
    written = connection.execute(
        # What was given back may be reserved again: a call that was refused, then allowed.
        statement.on_conflict_do_update(
            index_elements=[spend_entries.c.key, spend_entries.c.kind],
            set_={"state": "reserved", "amount_usd": expense.amount_usd, "day": today},
            where=spend_entries.c.state == "released",
        ).returning(spend_entries.c.key)
    ).one_or_none()
    return written is not None


def _add(connection: Connection, expense: Expense, bound: Bound, day: date) -> None:
    values = {
        "kind": expense.kind,
        "subject": bound.subject,
        "day": day,
        "amount_usd": expense.amount_usd,
    }
    raised = spend_totals.c.amount_usd + expense.amount_usd
    fits = bound.limit_usd is None or expense.amount_usd <= bound.limit_usd
    if fits:
        statement = insert(spend_totals).values(values)
        written = connection.execute(
            statement.on_conflict_do_update(
                index_elements=[spend_totals.c.kind, spend_totals.c.subject, spend_totals.c.day],
                set_={"amount_usd": raised},
                where=None if bound.limit_usd is None else raised <= bound.limit_usd,
            ).returning(spend_totals.c.amount_usd)
        ).one_or_none()
        if written is not None:
            return
    so_far = connection.execute(
        select(spend_totals.c.amount_usd).where(
            spend_totals.c.kind == expense.kind,
            spend_totals.c.subject == bound.subject,
            spend_totals.c.day == day,
        )
    ).scalar()
    raise BudgetError(
        f"{expense.purpose} for {expense.amount_usd:.2f} USD would pass {bound.said} of "
        f"{bound.limit_usd:.2f} USD; {so_far or 0:.2f} USD are used up."
    )
