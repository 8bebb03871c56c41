"""What a caller may say about a task, and the envelope that comes of it."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, Required, TypedDict

from fleet_contracts.envelope import Priority, TaskEnvelope, parse_envelope
from fleet_contracts.errors import InvalidInput


class TaskOptions(TypedDict, total=False):
    """Keyword arguments of `submit`; every one may be left out or be None.

    `agent` is a name, or `auto` to let the fleet choose. `data` is an object for programs, the
    text is for the agent. `deadline` carries a time zone. `budget_usd` is what the task may cost.
    `idempotency_key` makes a second submit of the same content give the same task. `reply_to`
    names a queue `reply.…` that gets the outcome as JSON.
    """

    agent: str
    tenant: str | None
    customer: str | None
    session_id: str | None
    data: Mapping[str, Any] | None
    priority: Priority | Literal["high", "normal", "bulk"] | None
    idempotency_key: str | None
    deadline: datetime | None
    metadata: Mapping[str, str] | None
    reply_to: str | None
    budget_usd: Decimal | float | str | None


class TaskItem(TaskOptions):
    """One task of `submit_many`: the options and its text."""

    text: Required[str]


# A body without tenant is completed by the server from the key; to check the rest of the envelope
# here, before anything is sent, some well-formed name must stand in for it.
_TENANT_OF_THE_KEY = "tenant-of-the-key"


def envelope_for_broker(text: object, options: Mapping[str, Any], *, tenant: str) -> TaskEnvelope:
    """Make the envelope of a task whose tenant is known.

    Raises:
        InvalidEnvelope: Naming each wrong field.
    """
    return _build(text, options, tenant=tenant)


def body_for_http(
    text: object, options: Mapping[str, Any], *, tenant: str | None
) -> dict[str, Any]:
    """Make the JSON body of a task; without a tenant, that of the API key counts.

    Raises:
        InvalidEnvelope: Naming each wrong field.
    """
    body = _build(text, options, tenant=tenant or _TENANT_OF_THE_KEY).to_dict()
    if tenant is None:
        del body["tenant"]
        if body["idempotency_key"] is not None:
            del body["id"]  # it follows from tenant and key
    return body


def split_item(item: object) -> tuple[object, dict[str, Any]]:
    """Split an item of `submit_many`, a text or a `TaskItem`, into its text and options.

    Raises:
        InvalidInput: It is neither, or has no text.
    """
    if isinstance(item, str):
        return item, {}
    if not isinstance(item, Mapping):
        raise InvalidInput(
            f"An item of submit_many is a {type(item).__name__}: "
            'give a text or {"text": …, "agent": …}.'
        )
    options = dict(item)
    if options.get("text") is None:
        raise InvalidInput('An item of submit_many has no "text": give the customer\'s words.')
    return options.pop("text"), options


def _build(text: object, options: Mapping[str, Any], *, tenant: str) -> TaskEnvelope:
    given = {name: value for name, value in options.items() if value is not None}
    return parse_envelope({**given, "tenant": tenant, "input": text})
