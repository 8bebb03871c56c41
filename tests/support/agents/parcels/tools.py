"""What the parcels agent can look up and do, over the shop's HTTP service."""

import os
import signal
from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field

from fleet_workers.tools import ToolContext, tool

Order = Annotated[str, Field(pattern=r"^ord_[0-9]+$", description="The order's id")]


def _post(context: ToolContext, path: str, body: dict[str, Any]) -> dict[str, Any]:
    response = context.http.post(
        f"{context.environment['PARCELS_URL']}/{path}",
        json=body,
        headers={"Idempotency-Key": context.idempotency_key},
    )
    response.raise_for_status()
    answer: dict[str, Any] = response.json()
    return answer


@tool(effect="read", trusted=True)
def track_parcel(context: ToolContext, order_id: Order) -> dict[str, Any]:
    """Tell where the parcel of an order is."""
    return _post(context, "track", {"order_id": order_id})


@tool(effect="write", repeat="idempotent", trusted=True)
def refund_order(
    context: ToolContext, order_id: Order, amount_usd: Annotated[Decimal, Field(gt=0)]
) -> dict[str, Any]:
    """Refund an order whose parcel was lost or damaged."""
    return _post(context, "refund", {"order_id": order_id, "amount_usd": str(amount_usd)})


@tool(effect="write", repeat="none", trusted=True)
def book_courier(context: ToolContext, order_id: Order) -> dict[str, Any]:
    """Book a courier who fetches the parcel of an order."""
    return _post(context, "courier", {"order_id": order_id})


def _find_note(context: ToolContext, order_id: str, text: str) -> dict[str, Any] | None:
    found = _post(context, "notes/find", {"order_id": order_id, "text": text})
    return found or None


@tool(effect="write", repeat="reconcile", reconciler=_find_note, trusted=True)
def note_damage(context: ToolContext, order_id: Order, text: str) -> dict[str, Any]:
    """Note on an order that its parcel is damaged."""
    return _post(context, "notes", {"order_id": order_id, "text": text})


@tool(effect="read", trusted=True)
def crush_parcel(context: ToolContext, order_id: Order) -> dict[str, Any]:
    """Break the process that calls it, as a library that crashes does."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")
