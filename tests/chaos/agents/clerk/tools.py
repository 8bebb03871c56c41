"""The clerk's tools: a write that can be looked up, one that cannot be repeated, one to approve."""

from typing import Annotated, Any

from pydantic import Field

from fleet_workers.agents.business_api import read_own, write_own
from fleet_workers.tools import CONTENT, ToolContext, tool

Reason = Annotated[
    str, CONTENT, Field(min_length=3, max_length=200, description="Why, in plain words")
]


def _write_without_key(context: ToolContext, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """A business that knows no idempotency keys: every request is done."""
    response = context.http.post(
        context.environment["FLEET_BUSINESS_URL"] + path,
        json=body,
        headers={"X-Tenant": context.tenant, "X-Customer": str(context.customer)},
    )
    response.raise_for_status()
    answer: dict[str, Any] = response.json()
    return answer


def _find_incident(context: ToolContext, title: str) -> dict[str, Any] | None:
    known = read_own(context, "/incidents")["incidents"]
    return next((each for each in known if each["title"] == title), None)


@tool(effect="write", repeat="reconcile", reconciler=_find_incident, trusted=True)
def open_incident(context: ToolContext, title: Reason) -> dict[str, Any]:
    """Open an incident for the customer."""
    service = read_own(context, "/services")["services"][0]["service"]
    body = {"service": service, "title": title, "description": "Opened by the clerk."}
    return _write_without_key(context, "/incidents", body)


@tool(effect="write", repeat="none", trusted=True)
def give_gift(context: ToolContext, reason: Reason) -> dict[str, Any]:
    """Give the customer a cent as a gift."""
    return _write_without_key(context, "/credits", {"amount_usd": "0.01", "reason": reason})


@tool(effect="write", repeat="idempotent", stakes="high", trusted=True)
def give_bonus(context: ToolContext, reason: Reason) -> dict[str, Any]:
    """Give the customer a cent as a bonus, once a person has approved it."""
    return write_own(context, "/credits", {"amount_usd": "0.01", "reason": reason})
