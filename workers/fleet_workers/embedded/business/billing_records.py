"""Reads billing records and writes them as the API shows them, money as decimal texts."""

from typing import Any

from sqlalchemy import Connection, RowMapping, Select, Table, func, select

from fleet_workers.embedded.business.effects import Caller
from fleet_workers.embedded.business.money import to_usd
from fleet_workers.embedded.business.problems import Refused
from fleet_workers.embedded.business.tables import (
    account_credits,
    invoice_lines,
    plans,
    refunds,
    subscriptions,
)


def own(table: Table, caller: Caller) -> Select[Any]:
    """Select the rows of a table that belong to the caller."""
    return select(table).where(table.c.tenant == caller.tenant, table.c.customer == caller.customer)


def read_subscription(connection: Connection, caller: Caller) -> dict[str, Any]:
    """Give the caller's subscription with its plan.

    Raises:
        Refused: 404, where nothing was bought yet.
    """
    row = connection.execute(own(subscriptions, caller)).mappings().first()
    if row is None:
        raise Refused(404, "This customer has no subscription yet.")
    plan = (
        connection.execute(
            select(plans).where(plans.c.tenant == caller.tenant, plans.c.id == row["plan"])
        )
        .mappings()
        .one()
    )
    return {
        "subscription_id": row["id"],
        "status": row["status"],
        "plan": show_plan(plan),
        "started_on": row["started_on"],
        "renews_on": row["renews_on"],
        "ended_on": row["ended_on"],
    }


def refunded_cents(connection: Connection, payment_id: str) -> int:
    """Sum what was given back of a payment."""
    total = select(func.coalesce(func.sum(refunds.c.amount_cents), 0))
    return int(connection.execute(total.where(refunds.c.payment == payment_id)).scalar_one())


def show_plan(row: RowMapping) -> dict[str, Any]:
    """Write a plan."""
    return {
        "plan_id": row["id"],
        "name": row["name"],
        "price_usd": to_usd(row["price_cents"]),
        "period": row["period"],
        "seats": row["seats"],
        "storage_gb": row["storage_gb"],
    }


def show_invoice(connection: Connection, row: RowMapping) -> dict[str, Any]:
    """Write an invoice with its lines."""
    lines = select(invoice_lines).where(invoice_lines.c.invoice == row["id"])
    return {
        "invoice_id": row["id"],
        "issued_on": row["issued_on"],
        "due_on": row["due_on"],
        "status": row["status"],
        "total_usd": to_usd(row["total_cents"]),
        "lines": [
            {"description": line["description"], "amount_usd": to_usd(line["amount_cents"])}
            for line in connection.execute(lines.order_by(invoice_lines.c.position)).mappings()
        ],
    }


def show_payment(connection: Connection, row: RowMapping) -> dict[str, Any]:
    """Write a payment with its refunds and what may still be refunded."""
    given = select(refunds).where(refunds.c.payment == row["id"]).order_by(refunds.c.id)
    back = connection.execute(given).mappings().all()
    refunded = sum(each["amount_cents"] for each in back)
    paid = row["amount_cents"] if row["status"] == "succeeded" else 0
    return {
        "payment_id": row["id"],
        "invoice_id": row["invoice"],
        "paid_on": row["paid_on"],
        "amount_usd": to_usd(row["amount_cents"]),
        "method": row["method"],
        "status": row["status"],
        "failure": row["failure"],
        "refunded_usd": to_usd(refunded),
        "refundable_usd": to_usd(paid - refunded),
        "refunds": [show_refund(each) for each in back],
    }


def show_refund(row: Any) -> dict[str, Any]:
    """Write a refund."""
    return {
        "refund_id": row["id"],
        "amount_usd": to_usd(row["amount_cents"]),
        "reason": row["reason"],
        "refunded_on": row["refunded_on"],
    }


def read_credits(connection: Connection, caller: Caller) -> dict[str, Any]:
    """Give the caller's credits and the balance that waits for the next invoice."""
    rows = (
        connection.execute(own(account_credits, caller).order_by(account_credits.c.id))
        .mappings()
        .all()
    )
    return {
        "balance_usd": to_usd(sum(row["amount_cents"] for row in rows if not row["used_on"])),
        "credits": [
            {
                "credit_id": row["id"],
                "amount_usd": to_usd(row["amount_cents"]),
                "reason": row["reason"],
                "granted_on": row["granted_on"],
                "used_on": row["used_on"],
            }
            for row in rows
        ],
    }
