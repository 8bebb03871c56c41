"""The technical support agent's tools: help, status, diagnosis, incidents, credential resets."""

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
def search_help_articles(
    context: ToolContext,
    query: Annotated[
        str, Field(min_length=2, max_length=500, description="What the customer wants to know")
    ],
) -> dict[str, Any]:
    """Search the help articles for instructions.

    Use for: how do I, how can I, where do I find, does it support; exporting data, two-factor,
    single sign-on, browsers, mobile app, notifications, storage limits, roles, webhooks. Needs no
    customer. Not for trouble that only this customer's workspace has: use diagnose_workspace.
    """
    return read_public(context, "/help-articles", {"query": query})


@tool(effect="read", trusted=True)
def get_service_status(context: ToolContext) -> dict[str, Any]:
    """Get the status of all services, and the incidents that are open for everybody.

    Use for: is it down, outage, is there a problem on your side, site not loading for anyone, slow,
    exports take long, e-mails do not arrive, API errors 500 or 503. Needs no customer.
    """
    return read_public(context, "/services")


@tool(effect="read", trusted=True)
def diagnose_workspace(context: ToolContext, workspace_id: WorkspaceId = None) -> dict[str, Any]:
    """Check this customer's workspace and give every fault with its remedy.

    Use for: our workspace is suspended, blocked, read-only or does not work, storage full, upload
    fails, webhooks stopped, API token rejected (401), import failed, somebody is locked out and
    cannot log in, something is wrong and nobody knows why.
    """
    return read_own(context, workspace_path(context, workspace_id) + "/diagnosis")


@tool(effect="read", trusted=True, prose=("title", "description"))
def list_incidents(
    context: ToolContext,
    status: Annotated[
        Literal["open", "resolved"] | None,
        Field(description="Only incidents of this status; leave out for all"),
    ] = None,
) -> dict[str, Any]:
    """List incidents (tickets, known problems) of this customer and of everybody, newest first.

    Use for: what about my ticket or report, is the bug known, news about incident inc_…, what
    happened last week, is it solved.
    """
    return read_own(context, "/incidents", {"status": status} if status else None)


@tool(
    effect="write",
    repeat="idempotent",
    trusted=True,
    asked_by=("password", "locked out", "log in", "sign in", "two factor", "api token"),
)
def reset_credentials(
    context: ToolContext,
    email: Annotated[
        str,
        Field(
            pattern=r"^[^@\s,;<>]+@[^@\s,;<>]+\.[^@\s,;<>]+$",
            max_length=200,
            description="E-mail address of the member whose sign-in is reset",
        ),
    ],
    kind: Annotated[
        Literal["password", "two_factor", "api_token"],
        Field(description="What is reset: password (also unlocks), two_factor or api_token"),
    ] = "password",
) -> dict[str, Any]:
    """Send a reset link to a member's own address; a password reset also unlocks the account.

    Use for: reset my password, forgot password, locked out, cannot log in or sign in, unlock my
    account, lost phone or two-factor codes, new API token. Works for members of this customer's
    workspaces only. The link goes to the address on record.
    """
    return write_own(context, "/credential-resets", {"email": email, "kind": kind})


@tool(
    effect="write",
    repeat="idempotent",
    trusted=True,
    prose=("title", "description"),
    asked_by=("report", "bug", "broken", "does not work", "ticket"),
)
def open_incident(
    context: ToolContext,
    service: Annotated[
        Literal[
            "web app",
            "sign-in",
            "api",
            "exports",
            "imports",
            "email notifications",
            "webhooks",
        ],
        CONTENT,
        Field(description="The part that does not work; web app where no other fits"),
    ],
    title: Annotated[
        str, CONTENT, Field(min_length=3, max_length=200, description="The problem in a few words")
    ],
    description: Annotated[
        str,
        CONTENT,
        Field(min_length=3, max_length=5000, description="What happens, since when, after what"),
    ],
    severity: Annotated[
        Literal["minor", "major", "critical"],
        CONTENT,
        Field(description="minor: can work on; major: a feature is lost; critical: no work at all"),
    ] = "minor",
) -> dict[str, Any]:
    """Open an incident (ticket) so that an engineer looks at the problem.

    Use for: report a bug, open a ticket, file a problem, raise an issue, this is broken, it crashes
    every time. Look first whether an incident is open already.
    """
    body = {"service": service, "title": title, "description": description, "severity": severity}
    return write_own(context, "/incidents", body)
