"""What the customers were billed and paid: ordinary months, and the cases people write about."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Final

from fleet_workers.embedded.business.seed_accounts import ACCOUNTS, PLANS, Account

_FIRST_NUMBER: Final = {"acme": 0, "globex": 500}
_PRICES: Final = {(plan.tenant, plan.id): plan for plan in PLANS}
_MONTHS: Final = ((1, "2026-04-01", "April"), (2, "2026-05-01", "May"), (3, "2026-06-01", "June"))

_NO_FUNDS: Final = "insufficient funds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """One invoice. Its id is inv_ and its payments' are pay_, with customer number and index.

    `paid` holds (index, day, status, failure) of each payment over the whole total.
    """

    index: int
    issued_on: str
    status: str
    lines: tuple[tuple[str, int], ...]
    paid: tuple[tuple[int, str, str, str | None], ...] = field(default=())


def _paid(index: int, day: str, *lines: tuple[str, int], again: str | None = None) -> Bill:
    payments: tuple[tuple[int, str, str, None], ...] = ((index, day, "succeeded", None),)
    if again:
        payments += ((9, again, "succeeded", None),)
    return Bill(index=index, issued_on=day, status="paid", lines=lines, paid=payments)


def _unpaid(
    index: int, day: str, status: str, *lines: tuple[str, int], failure: str | None = None
) -> Bill:
    payments = ((index, day, "failed", failure),) if failure else ()
    return Bill(index=index, issued_on=day, status=status, lines=lines, paid=payments)


# What differs from one paid invoice a month. An index that is not named here stays ordinary.
_UNUSUAL: Final[dict[str, tuple[Bill, ...]]] = {
    # Charged twice for June.
    "cus_acme_01": (_paid(3, "2026-06-01", ("Team, June 2026", 49_00), again="2026-06-02"),),
    # The card was declined in June.
    "cus_acme_02": (
        _unpaid(3, "2026-06-01", "open", ("Business, June 2026", 149_00), failure="card expired"),
    ),
    # Pays by bank transfer; May is overdue, June not yet due.
    "cus_acme_03": (
        _unpaid(2, "2026-05-01", "overdue", ("Starter, May 2026", 19_00)),
        _unpaid(3, "2026-06-01", "open", ("Starter, June 2026", 19_00)),
    ),
    # A yearly plan: a single invoice.
    "cus_acme_05": (_paid(1, "2026-01-10", ("Business, yearly, 2026", 1490_00)),),
    # Three more seats than the plan has.
    "cus_acme_06": (
        _paid(3, "2026-06-01", ("Starter, June 2026", 19_00), ("3 extra seats at 5.00", 15_00)),
    ),
    # May is overdue for a month, hence the suspended workspace; June failed as well.
    "cus_acme_07": (
        _unpaid(2, "2026-05-01", "overdue", ("Team, May 2026", 49_00), failure=_NO_FUNDS),
        _unpaid(3, "2026-06-01", "open", ("Team, June 2026", 49_00), failure=_NO_FUNDS),
    ),
    # Cancelled at the end of May and charged for June all the same.
    "cus_acme_10": (_paid(3, "2026-06-01", ("Starter, June 2026", 19_00)),),
    # The yearly plan was renewed in June.
    "cus_acme_11": (_paid(1, "2026-06-03", ("Team, yearly, renewal 2026/27", 490_00)),),
    # A credit was taken off the June invoice.
    "cus_acme_14": (
        _paid(3, "2026-06-01", ("Team, June 2026", 49_00), ("Credit for the April outage", -30_00)),
    ),
    # Went from Team to Business in the middle of May.
    "cus_acme_16": (
        _paid(1, "2026-04-01", ("Team, April 2026", 49_00)),
        _paid(
            2,
            "2026-05-01",
            ("Team, May 2026", 49_00),
        ),
        _paid(
            4,
            "2026-05-16",
            ("Business, 16 to 31 May 2026, pro rata", 76_90),
            ("Team, unused 16 to 31 May 2026", -25_29),
        ),
    ),
    # Signed up on 20 May: no April, May pro rata.
    "cus_acme_17": (_paid(2, "2026-05-20", ("Team, 20 to 31 May 2026, pro rata", 18_97)),),
    # Charged twice for June.
    "cus_globex_01": (_paid(3, "2026-06-01", ("Plus, June 2026", 39_00), again="2026-06-01"),),
    "cus_globex_02": (
        _unpaid(3, "2026-06-01", "open", ("Pro, June 2026", 99_00), failure=_NO_FUNDS),
    ),
    "cus_globex_03": (
        _unpaid(2, "2026-05-01", "overdue", ("Basic, May 2026", 12_00)),
        _unpaid(3, "2026-06-01", "open", ("Basic, June 2026", 12_00)),
    ),
    "cus_globex_04": (_paid(1, "2026-02-01", ("Pro, yearly, 2026/27", 990_00)),),
    # Used more storage than the plan holds.
    "cus_globex_06": (
        _paid(
            3,
            "2026-06-01",
            ("Pro, June 2026", 99_00),
            ("46 GB over 200 GB at 0.40", 18_40),
        ),
    ),
    # Charged twice for June, a large sum.
    "cus_globex_09": (
        _paid(3, "2026-06-01", ("Enterprise, June 2026", 399_00), again="2026-06-03"),
    ),
    # Cancelled at the end of April and charged for May and June all the same.
    "cus_globex_10": (
        _paid(2, "2026-05-01", ("Plus, May 2026", 39_00)),
        _paid(3, "2026-06-01", ("Plus, June 2026", 39_00)),
    ),
    # Signed up on 29 April: May was the first whole month.
    "cus_globex_13": (_paid(1, "2026-04-29", ("Pro, 29 and 30 April 2026, pro rata", 6_60)),),
    "cus_globex_14": (
        _paid(3, "2026-06-01", ("Plus, June 2026", 39_00), ("Credit for a referral", -24_00)),
    ),
}

# Indexes of ordinary months that such a customer has none of.
_NO_MONTH: Final = {
    "cus_acme_05": {2, 3},
    "cus_acme_11": {2, 3},
    "cus_acme_17": {1},
    "cus_globex_04": {2, 3},
}

# The columns: customer, index of the payment, cents, reason, day.
_REFUNDS: Final = (
    ("cus_acme_04", 2, 49_00, "May refunded in full: the workspace was not used", "2026-05-06"),
    ("cus_acme_09", 3, 20_00, "Two days of downtime in June", "2026-06-09"),
    ("cus_globex_05", 3, 39_00, "June refunded in full: plan bought by mistake", "2026-06-04"),
    ("cus_globex_06", 2, 10_00, "Late support in May", "2026-05-20"),
)

# The columns: id, customer, cents, reason, day, invoice that used it up.
_CREDITS: Final = (
    ("crd_5001", "cus_acme_14", 30_00, "Outage in April", "2026-04-20", "inv_2143"),
    ("crd_5002", "cus_acme_16", 25_00, "Thanks for a recommendation", "2026-03-02", None),
    ("crd_5501", "cus_globex_14", 24_00, "Referral of a friend", "2026-05-12", "inv_2643"),
    ("crd_5502", "cus_globex_16", 10_00, "Slow exports in May", "2026-05-29", None),
)


def _numbered(prefix: str, thousands: int, account: Account, index: int) -> str:
    return f"{prefix}_{thousands + _FIRST_NUMBER[account.tenant] + account.number * 10 + index}"


def _bills(account: Account) -> Iterator[Bill]:
    unusual = {bill.index: bill for bill in _UNUSUAL.get(account.id, ())}
    yield from unusual.values()
    if account.plan is None or account.status == "trialing":
        return
    plan = _PRICES[account.tenant, account.plan]
    for index, day, month in _MONTHS:
        if index not in unusual and index not in _NO_MONTH.get(account.id, ()):
            yield _paid(index, day, (f"{plan.name}, {month} 2026", plan.price_cents))


def _due_on(issued_on: str) -> str:
    return (date.fromisoformat(issued_on) + timedelta(days=14)).isoformat()


def _method(account: Account) -> str:
    if account.id in {"cus_acme_03", "cus_globex_03"}:
        return "bank transfer"
    brand = "visa" if account.number % 2 else "mastercard"
    return f"{brand} ending {4200 + account.number * 37:04d}"


def billing_rows() -> Iterator[tuple[str, dict[str, Any]]]:
    """Give (table name, row) for subscriptions, invoices, payments, refunds and credits."""
    accounts = {account.id: account for account in ACCOUNTS}
    for account in ACCOUNTS:
        if account.plan:
            yield "subscriptions", _subscription(account)
        for bill in sorted(_bills(account), key=lambda each: each.index):
            yield from _bill_rows(account, bill)
    for customer, index, cents, reason, day in _REFUNDS:
        account = accounts[customer]
        yield (
            "refunds",
            {
                "id": _numbered("ref", 4000, account, index),
                "tenant": account.tenant,
                "customer": customer,
                "payment": _numbered("pay", 3000, account, index),
                "amount_cents": cents,
                "reason": reason,
                "refunded_on": day,
            },
        )
    for credit, customer, cents, reason, day, used_on in _CREDITS:
        yield (
            "credits",
            {
                "id": credit,
                "tenant": accounts[customer].tenant,
                "customer": customer,
                "amount_cents": cents,
                "reason": reason,
                "granted_on": day,
                "used_on": used_on,
            },
        )


def _subscription(account: Account) -> dict[str, Any]:
    renewals = {
        "cus_acme_05": "2027-01-10",
        "cus_acme_11": "2027-06-03",
        "cus_globex_04": "2027-02-01",
    }
    ended = {"cus_acme_10": "2026-05-31", "cus_globex_10": "2026-04-30"}.get(account.id)
    trial_end = {"cus_acme_08": "2026-06-18", "cus_globex_08": "2026-06-16"}.get(account.id)
    renews_on = None if ended else trial_end or renewals.get(account.id, "2026-07-01")
    return {
        "id": account.id.replace("cus_", "sub_"),
        "tenant": account.tenant,
        "customer": account.id,
        "plan": account.plan,
        "status": account.status,
        "started_on": account.since,
        "renews_on": renews_on,
        "ended_on": ended,
    }


def _bill_rows(account: Account, bill: Bill) -> Iterator[tuple[str, dict[str, Any]]]:
    invoice = _numbered("inv", 2000, account, bill.index)
    owner = {"tenant": account.tenant, "customer": account.id}
    total = sum(cents for _, cents in bill.lines)
    yield (
        "invoices",
        {
            "id": invoice,
            **owner,
            "issued_on": bill.issued_on,
            "due_on": _due_on(bill.issued_on),
            "status": bill.status,
            "total_cents": total,
        },
    )
    for position, (description, cents) in enumerate(bill.lines, start=1):
        line = {"invoice": invoice, "position": position}
        yield "invoice_lines", {**line, "description": description, "amount_cents": cents}
    for index, day, status, failure in bill.paid:
        yield (
            "payments",
            {
                "id": _numbered("pay", 3000, account, index),
                **owner,
                "invoice": invoice,
                "paid_on": day,
                "amount_cents": total,
                "method": _method(account),
                "status": status,
                "failure": failure,
            },
        )
