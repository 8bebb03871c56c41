"""Workspaces in the sandbox: make and look at them, members, invitations and imports."""

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, insert, select

from fleet_workers.embedded.business.billing_records import own
from fleet_workers.embedded.business.database import next_id
from fleet_workers.embedded.business.desk import AtDesk
from fleet_workers.embedded.business.problems import Refused
from fleet_workers.embedded.business.seed import TODAY
from fleet_workers.embedded.business.tables import customers, imports, invitations, members
from fleet_workers.embedded.business.tables import workspaces as workspace_table
from fleet_workers.embedded.business.workspace_records import (
    find_workspace,
    open_workspace,
    read_diagnosis,
    seats_of,
    show_import,
    show_invitation,
    show_workspace,
)

router: Final = APIRouter(prefix="/workspaces", tags=["workspaces"])

_MOST_WORKSPACES: Final = 3
_EMAIL: Final = r"^[^@\s,;<>]+@[^@\s,;<>]+\.[^@\s,;<>]+$"


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewWorkspace(_Body):
    """A workspace to make."""

    name: Annotated[str, Field(min_length=2, max_length=80)]
    region: Literal["eu", "us"] = "eu"


class NewInvitation(_Body):
    """Somebody to invite."""

    email: Annotated[str, Field(max_length=200, pattern=_EMAIL)]
    role: Literal["member", "admin"] = "member"


class NewImport(_Body):
    """Data to bring over from another tool."""

    source: Literal["csv", "excel", "trello", "asana"]


@router.get("")
def list_workspaces(desk: AtDesk) -> dict[str, Any]:
    """All workspaces of the customer with their people and imports."""
    with desk.reading() as connection:
        rows = connection.execute(own(workspace_table, desk.caller)).mappings().all()
        return {"workspaces": [show_workspace(connection, row) for row in rows]}


@router.post("", status_code=201)
def create_workspace(desk: AtDesk, body: NewWorkspace) -> JSONResponse:
    """Make a workspace; the customer is its owner."""

    def work(connection: Connection) -> dict[str, Any]:
        rows = connection.execute(own(workspace_table, desk.caller)).mappings().all()
        if any(row["name"].casefold() == body.name.casefold() for row in rows):
            raise Refused(409, f"There is a workspace {body.name} already.")
        if len(rows) >= _MOST_WORKSPACES:
            raise Refused(409, f"A customer may have {_MOST_WORKSPACES} workspaces.")
        made = next_id(connection, workspace_table, "ws")
        owner = select(customers.c.email).where(customers.c.id == desk.caller.customer)
        connection.execute(
            insert(workspace_table).values(
                id=made,
                tenant=desk.caller.tenant,
                customer=desk.caller.customer,
                **body.model_dump(),
                status="active",
                storage_used_gb=0,
                failed_webhooks=0,
                api_access="valid",
                created_on=TODAY,
            )
        )
        connection.execute(
            insert(members).values(
                workspace=made,
                email=connection.execute(owner).scalar_one(),
                role="owner",
                status="active",
            )
        )
        return show_workspace(connection, find_workspace(connection, desk.caller, made))

    return desk.perform("create_workspace", body.model_dump(), work)


@router.get("/{workspace_id}")
def get_workspace(desk: AtDesk, workspace_id: str) -> dict[str, Any]:
    """One workspace with its people and imports."""
    with desk.reading() as connection:
        row = find_workspace(connection, desk.caller, workspace_id)
        return show_workspace(connection, row)


@router.get("/{workspace_id}/diagnosis")
def diagnose_workspace(desk: AtDesk, workspace_id: str) -> dict[str, Any]:
    """What is wrong with a workspace, and what mends it."""
    with desk.reading() as connection:
        row = find_workspace(connection, desk.caller, workspace_id)
        return read_diagnosis(connection, desk.caller, row)


@router.post("/{workspace_id}/invitations", status_code=201)
def invite_member(desk: AtDesk, workspace_id: str, body: NewInvitation) -> JSONResponse:
    """Invite somebody who is neither a member nor invited, while there are seats."""
    email = body.email.lower()

    def work(connection: Connection) -> dict[str, Any]:
        shown = show_workspace(connection, open_workspace(connection, desk.caller, workspace_id))
        if any(member["email"] == email for member in shown["members"]):
            raise Refused(409, f"{email} is a member of this workspace already.")
        pending = [each for each in shown["invitations"] if each["status"] == "pending"]
        if any(each["email"] == email for each in pending):
            raise Refused(409, f"{email} has been invited already and has not answered yet.")
        seats = seats_of(connection, desk.caller)
        if len(shown["members"]) + len(pending) >= seats:
            raise Refused(409, f"All {seats} seats of the plan are taken: choose a larger plan.")
        row = {
            "id": next_id(connection, invitations, "ivt"),
            "workspace": workspace_id,
            "email": email,
            "role": body.role,
            "status": "pending",
            "sent_on": TODAY,
        }
        connection.execute(insert(invitations).values(row))
        return show_invitation(row)

    arguments = {"workspace_id": workspace_id, "email": email, "role": body.role}
    return desk.perform("invite_member", arguments, work)


@router.post("/{workspace_id}/imports", status_code=201)
def start_import(desk: AtDesk, workspace_id: str, body: NewImport) -> JSONResponse:
    """Queue an import; one at a time. After a failed one the rows that are done are skipped."""

    def work(connection: Connection) -> dict[str, Any]:
        open_workspace(connection, desk.caller, workspace_id)
        running = select(imports.c.id).where(
            imports.c.workspace == workspace_id, imports.c.status.in_(("queued", "running"))
        )
        if busy := connection.execute(running).scalars().first():
            raise Refused(409, f"The import {busy} is not done yet: wait for it.")
        row = {
            "id": next_id(connection, imports, "imp"),
            "workspace": workspace_id,
            "source": body.source,
            "status": "queued",
            "rows_done": 0,
            "rows_total": 0,
            "error": None,
            "started_on": TODAY,
        }
        connection.execute(insert(imports).values(row))
        return show_import(row)

    arguments = {"workspace_id": workspace_id, **body.model_dump()}
    return desk.perform("start_import", arguments, work)
