"""Reads workspaces and what belongs to them, and finds what is wrong with one."""

from typing import Any, Final

from sqlalchemy import Connection, RowMapping, select

from fleet_workers.embedded.business.billing_records import own
from fleet_workers.embedded.business.effects import Caller
from fleet_workers.embedded.business.problems import Refused, not_found
from fleet_workers.embedded.business.tables import (
    imports,
    invitations,
    members,
    plans,
    services,
    subscriptions,
    workspaces,
)

_SEATS_WITHOUT_PLAN: Final = 2
_STORAGE_WITHOUT_PLAN_GB: Final = 1
_WEBHOOKS_OFF_AFTER: Final = 20


def find_workspace(connection: Connection, caller: Caller, workspace_id: str) -> RowMapping:
    """Give a workspace of the caller.

    Raises:
        Refused: 404, where the caller has none of that id.
    """
    query = own(workspaces, caller).where(workspaces.c.id == workspace_id)
    row = connection.execute(query).mappings().first()
    if row is None:
        raise not_found("workspace", workspace_id)
    return row


def open_workspace(connection: Connection, caller: Caller, workspace_id: str) -> RowMapping:
    """Give a workspace that can be worked in.

    Raises:
        Refused: 404 as in `find_workspace`; 409 while it is suspended.
    """
    row = find_workspace(connection, caller, workspace_id)
    if row["status"] != "active":
        raise Refused(409, f"{workspace_id} is suspended: {row['suspended_because']}.")
    return row


def seats_of(connection: Connection, caller: Caller) -> int:
    """How many people the caller's plan allows in a workspace."""
    plan = _plan_of(connection, caller)
    return plan["seats"] if plan else _SEATS_WITHOUT_PLAN


def show_workspace(connection: Connection, row: RowMapping) -> dict[str, Any]:
    """Write a workspace with its members, invitations and imports."""
    inside = {
        table.name: connection.execute(select(table).where(table.c.workspace == row["id"]))
        .mappings()
        .all()
        for table in (members, invitations, imports)
    }
    return {
        "workspace_id": row["id"],
        "name": row["name"],
        "region": row["region"],
        "status": row["status"],
        "suspended_because": row["suspended_because"],
        "storage_used_gb": row["storage_used_gb"],
        "created_on": row["created_on"],
        "members": [
            {"email": each["email"], "role": each["role"], "status": each["status"]}
            for each in inside["members"]
        ],
        "invitations": [show_invitation(each) for each in inside["invitations"]],
        "imports": [show_import(each) for each in inside["imports"]],
    }


def show_invitation(row: Any) -> dict[str, Any]:
    """Write an invitation."""
    shown = {name: row[name] for name in ("email", "role", "status", "sent_on")}
    return {"invitation_id": row["id"], **shown}


def show_import(row: Any) -> dict[str, Any]:
    """Write an import with how far it has come."""
    names = ("source", "status", "rows_done", "rows_total", "error", "started_on")
    return {"import_id": row["id"], **{name: row[name] for name in names}}


def read_diagnosis(connection: Connection, caller: Caller, row: RowMapping) -> dict[str, Any]:
    """Give all that is wrong with a workspace, and with the services that it uses."""
    findings = [
        *_workspace_faults(row),
        *_storage_faults(connection, caller, row),
        *_people_faults(connection, row["id"]),
        *_service_faults(connection, caller),
    ]
    return {"workspace_id": row["id"], "healthy": not findings, "findings": findings}


def _plan_of(connection: Connection, caller: Caller) -> RowMapping | None:
    query = (
        select(plans)
        .join(
            subscriptions,
            (subscriptions.c.plan == plans.c.id) & (subscriptions.c.tenant == plans.c.tenant),
        )
        .where(subscriptions.c.tenant == caller.tenant, subscriptions.c.customer == caller.customer)
    )
    return connection.execute(query).mappings().first()


def _finding(area: str, problem: str, remedy: str) -> dict[str, str]:
    return {"area": area, "problem": problem, "remedy": remedy}


def _workspace_faults(row: RowMapping) -> list[dict[str, str]]:
    found = []
    if row["status"] == "suspended":
        because = row["suspended_because"]
        remedy = "It opens again when the cause is gone; nothing is deleted. See billing."
        if "security" in because:
            remedy = "Only the security team can lift the hold."
        found.append(_finding("workspace", f"It is suspended: {because}.", remedy))
    if row["failed_webhooks"] >= _WEBHOOKS_OFF_AFTER:
        remedy = "Mend the receiver, then switch the webhook on under Settings, Webhooks."
        failed = f"{row['failed_webhooks']} deliveries failed in a row: the webhook is off."
        found.append(_finding("webhooks", failed, remedy))
    elif row["failed_webhooks"]:
        failed = f"{row['failed_webhooks']} deliveries failed of late."
        found.append(_finding("webhooks", failed, "Look at the receiver's log."))
    if row["api_access"] != "valid":
        remedy = "Make a new token: reset the credentials of kind api_token."
        found.append(_finding("api", f"The API token is {row['api_access']}.", remedy))
    return found


def _storage_faults(
    connection: Connection, caller: Caller, row: RowMapping
) -> list[dict[str, str]]:
    plan = _plan_of(connection, caller)
    limit = plan["storage_gb"] if plan else _STORAGE_WITHOUT_PLAN_GB
    if row["storage_used_gb"] < limit:
        return []
    problem = f"{row['storage_used_gb']} of {limit} GB are used: uploads may fail."
    return [_finding("storage", problem, "Delete files, empty the bin, or choose a larger plan.")]


def _people_faults(connection: Connection, workspace_id: str) -> list[dict[str, str]]:
    locked = select(members.c.email).where(
        members.c.workspace == workspace_id, members.c.status == "locked"
    )
    failed = select(imports).where(
        imports.c.workspace == workspace_id, imports.c.status == "failed"
    )
    remedy = "A password reset unlocks the account."
    return [
        _finding("sign-in", f"{email} is locked after wrong passwords.", remedy)
        for email in connection.execute(locked).scalars()
    ] + [
        _finding("imports", f"{row['id']} failed: {row['error']}.", "Mend the file, start again.")
        for row in connection.execute(failed).mappings()
    ]


def _service_faults(connection: Connection, caller: Caller) -> list[dict[str, str]]:
    broken = select(services).where(
        services.c.tenant == caller.tenant, services.c.status != "operational"
    )
    return [
        _finding(row["name"], f"The service is in {row['status']}: {row['note']}", "Wait; known.")
        for row in connection.execute(broken).mappings()
    ]
