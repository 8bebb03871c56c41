"""Billing of the sandbox: plans, subscription, invoices, payments, refunds and credits."""

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, RowMapping, func, insert, select, update

from fleet_workers.embedded.business.billing_records import (
    own,
    read_credits,
    read_subscription,
    refunded_cents,
    show_invoice,
    show_payment,
    show_plan,
    show_refund,
)
from fleet_workers.embedded.business.database import next_id
from fleet_workers.embedded.business.desk import AtDesk, AtPublicDesk
from fleet_workers.embedded.business.effects import Caller
from fleet_workers.embedded.business.money import AmountUsd, to_cents, to_usd
from fleet_workers.embedded.business.problems import Refused, not_found
from fleet_workers.embedded.business.seed import TODAY
from fleet_workers.embedded.business.tables import (
    account_credits,
    invoices,
    members,
    payments,
    plans,
    refunds,
    subscriptions,
    workspaces,
)

router: Final = APIRouter(tags=["billing"])

_MOST_CREDIT_CENTS: Final = 500_00
Reason = Annotated[str, Field(min_length=3, max_length=500)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class RefundRequest(_Body):
    """Money back from one payment."""

    amount_usd: AmountUsd
    reason: Reason


class CreditRequest(_Body):
    """Money off the next invoice."""

    amount_usd: AmountUsd
    reason: Reason


class PlanChange(_Body):
    """Another plan for the customer's subscription."""

    plan_id: Annotated[str, Field(min_length=1, max_length=50)]


@router.get("/plans")
def list_plans(desk: AtPublicDesk) -> dict[str, Any]:
    """All plans of the tenant with their prices."""
    with desk.reading() as connection:
        query = select(plans).where(plans.c.tenant == desk.tenant).order_by(plans.c.price_cents)
        return {"plans": [show_plan(row) for row in connection.execute(query).mappings()]}


@router.get("/subscription")
def get_subscription(desk: AtDesk) -> dict[str, Any]:
    """The customer's subscription with its plan."""
    with desk.reading() as connection:
        return read_subscription(connection, desk.caller)


@router.post("/subscription/plan", status_code=201)
def change_plan(desk: AtDesk, body: PlanChange) -> JSONResponse:
    """Change the plan at once; the next invoice has the new price."""

    def work(connection: Connection) -> dict[str, Any]:
        current = read_subscription(connection, desk.caller)
        _check_plan_change(connection, desk.caller, current, body.plan_id)
        connection.execute(
            update(subscriptions)
            .where(subscriptions.c.id == current["subscription_id"])
            .values(plan=body.plan_id)
        )
        return {
            **read_subscription(connection, desk.caller),
            "previous_plan": current["plan"]["plan_id"],
        }

    return desk.perform("change_plan", body.model_dump(), work)


@router.get("/invoices")
def list_invoices(
    desk: AtDesk,
    status: Literal["paid", "open", "overdue"] | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 12,
) -> dict[str, Any]:
    """The customer's invoices, newest first, with their lines."""
    query = own(invoices, desk.caller).order_by(invoices.c.issued_on.desc(), invoices.c.id.desc())
    if status:
        query = query.where(invoices.c.status == status)
    with desk.reading() as connection:
        rows = connection.execute(query.limit(limit)).mappings().all()
        return {"invoices": [show_invoice(connection, row) for row in rows]}


@router.get("/invoices/{invoice_id}")
def get_invoice(desk: AtDesk, invoice_id: str) -> dict[str, Any]:
    """One invoice with its lines, payments and refunds."""
    with desk.reading() as connection:
        row = (
            connection.execute(own(invoices, desk.caller).where(invoices.c.id == invoice_id))
            .mappings()
            .first()
        )
        if row is None:
            raise not_found("invoice", invoice_id)
        paid = own(payments, desk.caller).where(payments.c.invoice == invoice_id)
        return {
            **show_invoice(connection, row),
            "payments": [
                show_payment(connection, each) for each in connection.execute(paid).mappings()
            ],
        }


@router.get("/payments")
def list_payments(desk: AtDesk, limit: Annotated[int, Query(ge=1, le=100)] = 12) -> dict[str, Any]:
    """The customer's payments, newest first, with what was refunded."""
    query = own(payments, desk.caller).order_by(payments.c.paid_on.desc(), payments.c.id.desc())
    with desk.reading() as connection:
        rows = connection.execute(query.limit(limit)).mappings().all()
        return {"payments": [show_payment(connection, row) for row in rows]}


@router.post("/payments/{payment_id}/refunds", status_code=201)
def refund_payment(desk: AtDesk, payment_id: str, body: RefundRequest) -> JSONResponse:
    """Give money back, at most what was paid less what was refunded before."""

    def work(connection: Connection) -> dict[str, Any]:
        cents = to_cents(body.amount_usd)
        payment = _refundable(connection, desk.caller, payment_id, cents)
        row = {
            "id": next_id(connection, refunds, "ref"),
            "tenant": desk.caller.tenant,
            "customer": desk.caller.customer,
            "payment": payment_id,
            "amount_cents": cents,
            "reason": body.reason,
            "refunded_on": TODAY,
        }
        connection.execute(insert(refunds).values(row))
        return {"refund": show_refund(row), "payment": show_payment(connection, payment)}

    arguments = {"payment_id": payment_id, **_plain(body)}
    return desk.perform("refund_payment", arguments, work)


@router.get("/credits")
def list_credits(desk: AtDesk) -> dict[str, Any]:
    """The customer's credits and the balance that waits for the next invoice."""
    with desk.reading() as connection:
        return read_credits(connection, desk.caller)


@router.post("/credits", status_code=201)
def apply_credit(desk: AtDesk, body: CreditRequest) -> JSONResponse:
    """Take money off the next invoice."""

    def work(connection: Connection) -> dict[str, Any]:
        cents = to_cents(body.amount_usd)
        if cents > _MOST_CREDIT_CENTS:
            raise Refused(422, f"A credit may be at most {to_usd(_MOST_CREDIT_CENTS)} USD.")
        if read_subscription(connection, desk.caller)["status"] == "cancelled":
            raise Refused(409, "The subscription is cancelled: there is no next invoice.")
        row = {
            "id": next_id(connection, account_credits, "crd"),
            "tenant": desk.caller.tenant,
            "customer": desk.caller.customer,
            "amount_cents": cents,
            "reason": body.reason,
            "granted_on": TODAY,
        }
        connection.execute(insert(account_credits).values(row))
        balance = read_credits(connection, desk.caller)["balance_usd"]
        return {"credit_id": row["id"], "amount_usd": to_usd(cents), "balance_usd": balance}

    return desk.perform("apply_credit", _plain(body), work)


def _plain(body: RefundRequest | CreditRequest) -> dict[str, Any]:
    return {"amount_usd": to_usd(to_cents(body.amount_usd)), "reason": body.reason}


def _check_plan_change(
    connection: Connection, caller: Caller, current: dict[str, Any], plan_id: str
) -> None:
    known = select(plans).where(plans.c.tenant == caller.tenant)
    offered = {row["id"]: row for row in connection.execute(known).mappings()}
    if plan_id not in offered:
        raise Refused(422, f"There is no plan {plan_id}. Plans: {', '.join(offered)}.")
    if current["status"] == "cancelled":
        raise Refused(409, "The subscription is cancelled: it cannot change its plan.")
    if current["status"] == "past_due":
        raise Refused(409, "Invoices are unpaid: the plan can change once they are paid.")
    if current["plan"]["plan_id"] == plan_id:
        raise Refused(409, f"The subscription is on the plan {plan_id} already.")
    people = select(func.count()).select_from(
        members.join(workspaces, members.c.workspace == workspaces.c.id)
    )
    count = connection.execute(
        people.where(workspaces.c.tenant == caller.tenant, workspaces.c.customer == caller.customer)
    ).scalar_one()
    if count > offered[plan_id]["seats"]:
        raise Refused(
            409, f"{count} people have a seat, {plan_id} has {offered[plan_id]['seats']}."
        )


def _refundable(connection: Connection, caller: Caller, payment_id: str, cents: int) -> RowMapping:
    payment = (
        connection.execute(own(payments, caller).where(payments.c.id == payment_id))
        .mappings()
        .first()
    )
    if payment is None:
        raise not_found("payment", payment_id)
    if payment["status"] != "succeeded":
        raise Refused(409, f"{payment_id} failed, so no money came in that could be refunded.")
    left = payment["amount_cents"] - refunded_cents(connection, payment_id)
    if cents > left:
        raise Refused(
            409, f"{to_usd(left)} USD of {payment_id} can be refunded, not {to_usd(cents)} USD."
        )
    row: RowMapping = payment
    return row
