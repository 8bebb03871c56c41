"""The onboarding agent's tools: workspaces, invitations, imports, progress and sessions."""

# ruff: noqa: INP001  an agent's folder is loaded by its path, as a user's own is

from typing import Annotated, Any, Literal

from pydantic import Field

from fleet_workers.agents.business_api import read_own, read_public, workspace_path, write_own
from fleet_workers.tools import CONTENT, ToolContext, tool

WorkspaceId = Annotated[
    str | None,
    Field(
        pattern=r"^ws_[a-z0-9_]{1,40}$",
        description="Id of a workspace, such as ws_acme_01; leave out if there is only one",
    ),
]


@tool(effect="read", trusted=True)
def get_onboarding_progress(context: ToolContext) -> dict[str, Any]:
    """Get how far the customer's set-up is: steps done, the next step, booked sessions.

    Use for: what is next, how far am I, what is missing, am I done, checklist, getting started,
    where do I begin, when is my session.
    """
    return read_own(context, "/onboarding")


@tool(effect="read", trusted=True)
def list_workspaces(context: ToolContext) -> dict[str, Any]:
    """List the customer's workspaces with members, invitations and imports.

    Use for: which workspaces do I have, who is in my team, has my colleague accepted the
    invitation, how far is my import, why did the import fail.
    """
    return read_own(context, "/workspaces")


@tool(effect="write", repeat="idempotent", trusted=True)
def create_workspace(
    context: ToolContext,
    name: Annotated[
        str, Field(min_length=2, max_length=80, description="Name that the customer gave")
    ],
    region: Annotated[
        Literal["eu", "us"], Field(description="Where the data is kept: eu (Europe) or us")
    ] = "eu",
) -> dict[str, Any]:
    """Create a workspace; the customer becomes its owner.

    Use for: create, set up, make or open a new workspace, start a space for our team or project.
    Refuses a name that is in use and more than three workspaces.
    """
    return write_own(context, "/workspaces", {"name": name, "region": region})


@tool(effect="write", repeat="idempotent", trusted=True)
def invite_member(
    context: ToolContext,
    email: Annotated[
        str,
        Field(
            pattern=r"^[^@\s,;<>]+@[^@\s,;<>]+\.[^@\s,;<>]+$",
            max_length=200,
            description="E-mail address of the person to invite",
        ),
    ],
    role: Annotated[
        Literal["member", "admin"], Field(description="member, or admin to invite and set up too")
    ] = "member",
    workspace_id: WorkspaceId = None,
) -> dict[str, Any]:
    """Invite one person to a workspace by e-mail.

    Use for: invite or add my colleague, add a user or team member, give somebody access, send the
    invitation again after it expired. Refuses members, people already invited, and full plans.
    """
    path = workspace_path(context, workspace_id) + "/invitations"
    return write_own(context, path, {"email": email, "role": role})


@tool(
    effect="write",
    repeat="idempotent",
    trusted=True,
    asked_by=("import", "bring over", "migrate", "move data", "upload data"),
)
def start_import(
    context: ToolContext,
    source: Annotated[
        Literal["csv", "excel", "trello", "asana"],
        Field(description="Where the data comes from: csv, excel, trello or asana"),
    ],
    workspace_id: WorkspaceId = None,
) -> dict[str, Any]:
    """Start an import of the customer's data into a workspace, or start a failed one again.

    Use for: import, migrate, bring over, move or upload our data, tasks, contacts or boards from
    CSV, Excel, Trello or Asana; retry the import. Refuses while another import is not done.
    """
    path = workspace_path(context, workspace_id) + "/imports"
    return write_own(context, path, {"source": source})


@tool(effect="read", trusted=True)
def list_free_slots(context: ToolContext) -> dict[str, Any]:
    """List the free times for a session with an onboarding specialist, soonest first, in UTC.

    Use for: when can I have a call, demo, training or walkthrough, free appointments, available
    times. Finds the slot id that book_session needs. Needs no customer.
    """
    return read_public(context, "/slots")


@tool(
    effect="write",
    repeat="idempotent",
    trusted=True,
    asked_by=("book slot", "book call", "book demo", "book training", "schedule call"),
)
def book_session(
    context: ToolContext,
    slot_id: Annotated[
        str,
        Field(
            pattern=r"^slot_[a-z0-9_]{1,40}$",
            description="Id of a free slot, such as slot_acme_01; list_free_slots gives it",
        ),
    ],
    topic: Annotated[
        str,
        CONTENT,
        Field(min_length=3, max_length=300, description="What the session is about"),
    ],
) -> dict[str, Any]:
    """Book a session (call, demo, training, walkthrough) with a specialist at a free slot.

    Use for: book, schedule or reserve a session or appointment at a time that is free.
    """
    return write_own(context, "/sessions", {"slot_id": slot_id, "topic": topic})
