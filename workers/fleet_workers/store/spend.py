"""The ledger of money: reserved before it is spent, settled after, bounded by limits.

`moved` is what tools pay out, refund or charge; `cost` is what models and tools cost. Totals are
kept by task, customer, tenant and agent, all but a task's by day (UTC, by the store's clock).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_UP, Decimal
from typing import Final, Literal
from uuid import UUID

from sqlalchemy import Connection, select

from fleet_contracts.errors import BudgetError
from fleet_workers.store.json_text import json_text
from fleet_workers.store.money_tables import spend_entries, spend_totals
from fleet_workers.store.statement import Statement

SpendKind = Literal["moved", "cost"]

DECIMALS: Final = 8
"""Decimals of a US dollar that the ledger keeps."""

MOST_USD: Final = Decimal(10) ** 12
"""No single amount reaches this."""

_ALWAYS = date(1970, 1, 1)  # the day of totals that are not by day

_ENTER = Statement("""
    INSERT INTO spend_entries AS e (
        key, kind, task_id, tenant, agent, customer, purpose, amount_usd, counted, day
    ) VALUES (
        :key, :kind, :task_id, :tenant, :agent, :customer, :purpose, :amount,
        CAST(:counted AS jsonb), CAST(now() AT TIME ZONE 'UTC' AS date)
    )
    ON CONFLICT (key, kind) DO UPDATE SET
        amount_usd = excluded.amount_usd, counted = excluded.counted, day = excluded.day,
        state = 'reserved', settled_at = NULL
    WHERE e.state = 'released'
    RETURNING day
""")
_RAISE = Statement("""
    INSERT INTO spend_totals AS t (kind, subject, day, amount_usd)
    VALUES (:kind, :subject, :day, :amount)
    ON CONFLICT (kind, subject, day) DO UPDATE SET amount_usd = t.amount_usd + excluded.amount_usd
    WHERE CAST(:most AS numeric) IS NULL
        OR t.amount_usd + excluded.amount_usd <= CAST(:most AS numeric)
    RETURNING amount_usd
""")
_CLOSE = Statement("""
    UPDATE spend_entries SET state = :state, amount_usd = :amount, settled_at = now()
    WHERE key = :key AND kind = :kind
    RETURNING key
""")
_CHANGE = Statement("""
    UPDATE spend_totals SET amount_usd = amount_usd + :amount
    WHERE kind = :kind AND subject = :subject AND day = :day
    RETURNING amount_usd
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A limit in US dollars on a total, or a total that is only counted where it is None.

    `said` is how it is called in an error: "a day's …". A `private` one counts what several tenants
    spend: its error tells none of them how much that is.
    """

    subject: str
    by_day: bool
    limit_usd: Decimal | None
    said: str
    private: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Expense:
    """What is about to be spent, and what it counts against.

    `key` and `kind` name it: reserved again, it counts once. `amount_usd` has at most `DECIMALS`
    decimals and is under `MOST_USD`. `at_most_usd` bounds it by itself.
    """

    key: str
    kind: SpendKind
    task_id: UUID
    tenant: str
    agent: str
    customer: str | None
    purpose: str
    amount_usd: Decimal
    at_most_usd: Decimal | None = None
    bounds: Sequence[Bound] = ()


def task_total(task_id: UUID) -> str:
    """The subject of a task's totals."""
    return f"task {task_id}"


def tenant_total(tenant: str) -> str:
    """The subject of a tenant's totals."""
    return f"tenant {tenant}"


def agent_total(agent: str, tenant: str | None = None) -> str:
    """The subject of an agent's totals, over all tenants or with one."""
    return f"agent {agent}" if tenant is None else f"agent {agent} {tenant}"


def customer_total(tenant: str, customer: str) -> str:
    """The subject of a customer's totals; a length in front keeps names with spaces apart."""
    return f"customer {len(tenant)} {tenant} {customer}"


def reserve(connection: Connection, expenses: Sequence[Expense]) -> None:
    """Reserve expenses in all their totals, or, where a limit would be passed, in none of them.

    The totals' rows are locked in one order until the transaction ends, so that workers that
    spend at the same time go one after another and none gets past a limit. What was given back
    may be reserved again; what is reserved or spent is not looked at again.

    Raises:
        BudgetError: Names every limit that would be passed. Roll the transaction back.
    """
    faults: list[str] = []
    for expense in sorted(expenses, key=lambda each: each.kind):
        today = _note(connection, expense)
        if today is not None:
            faults += _count(connection, expense, today)
    if faults:
        raise BudgetError(" ".join(faults))


def settle(connection: Connection, key: str, *, amount_usd: Decimal | None = None) -> None:
    """Turn what is reserved under a key into what was really spent: as reserved, or this much.

    Once only: what is settled or given back stays so.
    """
    _close(connection, key, "spent", amount_usd)


def give_back(connection: Connection, key: str) -> None:
    """Take what is reserved under a key out of all totals: nothing was spent."""
    _close(connection, key, "released", Decimal(0))


def rounded(amount_usd: Decimal) -> Decimal:
    """Up to what the ledger keeps, so that many small sums are not counted as nothing."""
    return amount_usd.quantize(Decimal(1).scaleb(-DECIMALS), rounding=ROUND_UP)


def as_usd(amount: Decimal) -> str:
    """An amount for people: cents, and more decimals only where they count."""
    plain = f"{amount:.{DECIMALS}f}".rstrip("0")
    whole, _, fraction = plain.partition(".")
    return f"{whole}.{fraction:0<2} USD"


def _note(connection: Connection, expense: Expense) -> date | None:
    """Write the entry; gives its day, or None where it stands already."""
    counted = [[each.subject, each.by_day] for each in expense.bounds]
    row = _ENTER.run(
        connection,
        {
            "key": expense.key,
            "kind": expense.kind,
            "task_id": expense.task_id,
            "tenant": expense.tenant,
            "agent": expense.agent,
            "customer": expense.customer,
            "purpose": expense.purpose,
            "amount": expense.amount_usd,
            "counted": json_text(counted),
        },
    )
    return None if row is None else row.day


def _count(connection: Connection, expense: Expense, today: date) -> Iterator[str]:
    """Raise the totals; gives a sentence for each limit that is passed."""
    what = f"{expense.purpose} for {as_usd(expense.amount_usd)}"
    if expense.at_most_usd is not None and expense.amount_usd > expense.at_most_usd:
        yield f"{what} is over the limit of one action, {as_usd(expense.at_most_usd)}."
    for bound in sorted(expense.bounds, key=lambda each: (each.subject, each.by_day)):
        day = today if bound.by_day else _ALWAYS
        if not _add(connection, expense, bound, day) and bound.limit_usd is not None:
            if bound.private:
                yield f"{what} would pass {bound.said}."
                continue
            so_far = _total(connection, expense.kind, bound.subject, day)
            yield (
                f"{what} would pass {bound.said} of {as_usd(bound.limit_usd)}; "
                f"{as_usd(so_far)} are used up."
            )


def _add(connection: Connection, expense: Expense, bound: Bound, day: date) -> bool:
    """Raise one total; tells whether its limit allowed it."""
    limit = bound.limit_usd
    if limit is not None and expense.amount_usd > limit:
        return False
    values = {"kind": expense.kind, "subject": bound.subject, "day": day}
    row = _RAISE.run(connection, {**values, "amount": expense.amount_usd, "most": limit})
    return row is not None


def _total(connection: Connection, kind: str, subject: str, day: date) -> Decimal:
    found = connection.execute(
        select(spend_totals.c.amount_usd).where(
            spend_totals.c.kind == kind,
            spend_totals.c.subject == subject,
            spend_totals.c.day == day,
        )
    ).scalar()
    return found or Decimal(0)


def _close(connection: Connection, key: str, state: str, amount_usd: Decimal | None) -> None:
    entry = spend_entries.c
    reserved = connection.execute(
        select(entry.kind, entry.amount_usd, entry.day, entry.counted)
        .where(entry.key == key, entry.state == "reserved")
        .order_by(entry.kind)
        .with_for_update()
    ).all()
    for row in reserved:
        really = row.amount_usd if amount_usd is None else amount_usd
        closed = {"key": key, "kind": row.kind, "state": state, "amount": really}
        _CLOSE.run(connection, closed)
        if really == row.amount_usd:
            continue
        for subject, by_day in sorted(row.counted):
            total = {"kind": row.kind, "subject": subject, "day": row.day if by_day else _ALWAYS}
            _CHANGE.run(connection, {**total, "amount": really - row.amount_usd})
