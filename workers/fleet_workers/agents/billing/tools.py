"""The billing agent's tools: invoices, payments, refunds, credits, and the subscription's plan."""

# ruff: noqa: INP001  an agent's folder is loaded by its path, as a user's own is

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field

from fleet_workers.agents.business_api import read_own, read_public, write_own
from fleet_workers.tools import CONTENT, ToolContext, tool

InvoiceId = Annotated[
    str, Field(pattern=r"^inv_[0-9]{1,12}$", description="Id of an invoice, such as inv_2041")
]
PaymentId = Annotated[
    str,
    Field(
        pattern=r"^pay_[0-9]{1,12}$",
        description="Id of a payment, such as pay_3041; list_payments and explain_charge give it",
    ),
]
AmountUsd = Annotated[
    Decimal,
    Field(gt=0, le=100_000, decimal_places=2, description="Sum in US dollars, such as 49.00"),
]
Reason = Annotated[
    str, CONTENT, Field(min_length=3, max_length=500, description="Why, in the customer's words")
]


@tool(effect="read", trusted=True)
def list_invoices(
    context: ToolContext,
    status: Annotated[
        Literal["paid", "open", "overdue"] | None,
        Field(description="Only invoices of this status; leave out for all"),
    ] = None,
) -> dict[str, Any]:
    """List the customer's invoices (bills), newest first, with dates, status, total and lines.

    Use for: show or send my invoices, last bill, billing history, do I owe anything, what is
    unpaid, outstanding, due or overdue. For one invoice whose id is known use get_invoice.
    """
    return read_own(context, "/invoices", {"status": status} if status else None)


@tool(effect="read", trusted=True)
def get_invoice(context: ToolContext, invoice_id: InvoiceId) -> dict[str, Any]:
    """Get one invoice by its id (inv_…): lines, total, due date, its payments and refunds.

    Use for: what is on invoice inv_…, is it paid, details or a copy of this invoice.
    """
    return read_own(context, f"/invoices/{invoice_id}")


@tool(effect="read", trusted=True)
def explain_charge(
    context: ToolContext,
    amount_usd: Annotated[
        AmountUsd | None,
        Field(description="The sum charged in US dollars, if it is said"),
    ] = None,
) -> dict[str, Any]:
    """Explain charges: each payment beside its invoice's lines, and payments made twice.

    Use for: why was I charged, what is this charge of …, charged twice, double or duplicate charge,
    billed too much, higher bill than usual, charged after I cancelled, unknown payment on my card.
    Finds the payment ids that refund_payment needs. Without a sum it shows all recent charges.
    """
    invoices = {
        each["invoice_id"]: each
        for each in read_own(context, "/invoices", {"limit": 100})["invoices"]
    }
    payments = read_own(context, "/payments", {"limit": 100})["payments"]
    paid = [each["invoice_id"] for each in payments if each["status"] == "succeeded"]
    wanted = [
        each for each in payments if amount_usd is None or Decimal(each["amount_usd"]) == amount_usd
    ]
    return {
        "charges": [{**each, "invoice": invoices.get(each["invoice_id"])} for each in wanted],
        "invoices_paid_more_than_once": sorted({each for each in paid if paid.count(each) > 1}),
    }


@tool(effect="read", trusted=True)
def list_payments(context: ToolContext) -> dict[str, Any]:
    """List the customer's payments, newest first: sum, day, card, status, and what was refunded.

    Use for: my payments or transactions, did my payment go through, card declined or payment
    failed, has my refund been made, refund status. Finds the payment id that refund_payment needs.
    """
    return read_own(context, "/payments")


@tool(effect="read", trusted=True)
def get_subscription(context: ToolContext) -> dict[str, Any]:
    """Get the customer's subscription: current plan, price, status, and when it renews or ended.

    Use for: which plan am I on, what do I pay, when does it renew, is my subscription active,
    past due or cancelled, how many seats do I have.
    """
    return read_own(context, "/subscription")


@tool(effect="read", trusted=True)
def list_plans(context: ToolContext) -> dict[str, Any]:
    """List all plans on offer with price, period (monthly or yearly), seats and storage.

    Use for: what plans are there, prices, pricing, how much does … cost, compare plans, cheaper or
    larger plan. Needs no customer.
    """
    return read_public(context, "/plans")


@tool(
    effect="write",
    repeat="idempotent",
    trusted=True,
    money="amount_usd",
    scopes=("billing:refund",),
    rate="60/minute",
    asked_by=("refund", "money back", "reimburse", "charged twice", "double charge"),
)
def refund_payment(
    context: ToolContext, payment_id: PaymentId, amount_usd: AmountUsd, reason: Reason
) -> dict[str, Any]:
    """Refund a payment, wholly or in part: the money goes back to the card or account it came from.

    Use for: refund me, I want my money back, return the double charge, reimburse. Refuses more than
    was paid less what was refunded before, and payments that failed. Look the payment up first.
    """
    body = {"amount_usd": f"{amount_usd:.2f}", "reason": reason}
    return write_own(context, f"/payments/{payment_id}/refunds", body)


@tool(
    effect="write",
    repeat="idempotent",
    trusted=True,
    money="amount_usd",
    scopes=("billing:credit",),
    rate="60/minute",
    asked_by=("credit", "compensation", "goodwill"),
)
def apply_credit(context: ToolContext, amount_usd: AmountUsd, reason: Reason) -> dict[str, Any]:
    """Apply a credit to the account, which is taken off the next invoice; no money is paid out.

    Use for: credit my account, compensation or goodwill for an outage, take something off my next
    bill. For money back on the card use refund_payment.
    """
    return write_own(context, "/credits", {"amount_usd": f"{amount_usd:.2f}", "reason": reason})


@tool(
    effect="write",
    repeat="idempotent",
    trusted=True,
    scopes=("billing:plan",),
    asked_by=("upgrade", "downgrade", "switch plan"),
)
def change_plan(
    context: ToolContext,
    plan_id: Annotated[
        str,
        Field(
            pattern=r"^[a-z][a-z0-9_]{1,49}$",
            description="Id of the new plan, such as starter, team, business, team_yearly, "
            "business_yearly, basic, plus, pro, pro_yearly, enterprise; list_plans gives it",
        ),
    ],
) -> dict[str, Any]:
    """Change the subscription to another plan at once; the next invoice has the new price.

    Use for: upgrade, downgrade, switch or move to the … plan, go yearly or monthly. Refuses while
    invoices are unpaid, after a cancellation, and when more people have a seat than the plan holds.
    """
    return write_own(context, "/subscription/plan", {"plan_id": plan_id})
