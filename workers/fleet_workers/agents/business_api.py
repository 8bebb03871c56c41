"""How the bundled agents' tools reach the business's HTTP API: for one customer, safe to repeat."""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import httpx2

from fleet_contracts.errors import ConfigurationError, PermanentError, TransientError
from fleet_workers.tools import ToolContext

URL_VARIABLE: Final = "FLEET_BUSINESS_URL"

_SAYS_NO: Final = frozenset({400, 404, 409, 422})
"""Statuses whose detail the model should read: asking again in the same way cannot help."""

_CUSTOMER_ID: Final = re.compile(r"[A-Za-z0-9_.-]+")


def read_public(
    context: ToolContext, path: str, query: Mapping[str, str | int] | None = None
) -> dict[str, Any]:
    """Read what all customers of the tenant may see.

    Raises:
        PermanentError: The business says no; the text tells why.
        TransientError: It failed or answered nonsense (also httpx2's errors, for the runtime).
    """
    response = context.http.get(
        _url(context, path), params=dict(query or {}), headers=_headers(context)
    )
    return _parse(response)


def read_own(
    context: ToolContext, path: str, query: Mapping[str, str | int] | None = None
) -> dict[str, Any]:
    """Read what belongs to the task's customer; raises as `read_public`, and without a customer."""
    headers = {**_headers(context), "X-Customer": _customer(context)}
    response = context.http.get(_url(context, path), params=dict(query or {}), headers=headers)
    return _parse(response)


def write_own(context: ToolContext, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Change something of the task's customer, once for the context's idempotency key.

    Raises as `read_own`. After a TransientError it is not known whether the change was made; the
    same call with the same key finds out and makes it at most once.
    """
    headers = {
        **_headers(context),
        "X-Customer": _customer(context),
        "Idempotency-Key": context.idempotency_key,
    }
    return _parse(context.http.post(_url(context, path), json=dict(body), headers=headers))


def workspace_path(context: ToolContext, workspace_id: str | None) -> str:
    """Give the path of the named workspace, or of the customer's only one.

    Raises:
        PermanentError: None is named and the customer has none, or several.
    """
    if workspace_id is None:
        found = read_own(context, "/workspaces")["workspaces"]
        if not found:
            raise PermanentError("This customer has no workspace yet: create one first.")
        if len(found) > 1:
            choice = ", ".join(f"{each['workspace_id']} ({each['name']})" for each in found)
            raise PermanentError(f"This customer has several workspaces: say which. {choice}.")
        workspace_id = found[0]["workspace_id"]
    return f"/workspaces/{quote(str(workspace_id), safe='')}"


def _url(context: ToolContext, path: str) -> str:
    try:
        return context.environment[URL_VARIABLE].rstrip("/") + path
    except KeyError:
        raise ConfigurationError(
            f"{URL_VARIABLE} is not set: name the business's base URL in the environment, and the "
            "variable in the agent's agent.toml."
        ) from None


def _headers(context: ToolContext) -> dict[str, str]:
    return {"X-Tenant": context.tenant, "X-Agent": context.agent}


def _customer(context: ToolContext) -> str:
    if context.customer is None:
        raise PermanentError(
            "A customer is needed: the request does not say whose account it is about."
        )
    # Anything else could not stand in a header, and no customer has such an id.
    if not _CUSTOMER_ID.fullmatch(context.customer):
        raise PermanentError(f"There is no customer {context.customer!r}.")
    return context.customer


def _parse(response: httpx2.Response) -> dict[str, Any]:
    if response.status_code in _SAYS_NO:
        raise PermanentError(_detail(response))
    response.raise_for_status()
    try:
        content = response.json()
    except ValueError as error:
        raise TransientError("The business answered with something that is not JSON.") from error
    if not isinstance(content, dict):
        raise TransientError(f"The business answered with a {type(content).__name__}.")
    return content


def _detail(response: httpx2.Response) -> str:
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"The business refused with status {response.status_code} and gave no reason."
