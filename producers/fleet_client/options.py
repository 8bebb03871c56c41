"""What a caller may say about a task, and the envelope that comes of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, Required, TypedDict

from fleet_contracts.envelope import Priority, TaskEnvelope, parse_envelope
from fleet_contracts.errors import InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Debounce:
    """Of the tasks of one agent with the same `key`, only the last one runs.

    It runs `seconds` after the last one came, and at most `max_seconds` (ten times `seconds` where
    not given) after the first. The others end as cancelled; their outcome's `replaced_by` is the
    task that runs instead. Which came last is told by the producers' clocks.
    """

    key: str
    seconds: float
    max_seconds: float | None = None


class TaskOptions(TypedDict, total=False):
    """Keyword arguments of `submit`; every one may be left out or be None.

    `agent` is a name, or `auto` to let the fleet choose. `data` is an object for programs, the
    text is for the agent. `deadline` carries a time zone. `budget_usd` is what the task may cost.
    `idempotency_key` makes a second submit of the same content give the same task. `reply_to`
    names a queue `reply.…` that gets the outcome as JSON.

    The task starts no earlier than `not_before` (with a time zone), or than after a `delay`, in
    seconds where it is a number. `debounce` lets a later task take its place.
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
    not_before: datetime | None
    delay: timedelta | float | None
    debounce: Debounce | None


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
    given |= _start(given)
    if (debounce := given.pop("debounce", None)) is not None:
        given |= _debounce_fields(debounce)
    return parse_envelope({**given, "tenant": tenant, "input": text})


def _start(given: dict[str, Any]) -> dict[str, Any]:
    delay = given.pop("delay", None)
    if delay is None:
        return {}
    if "not_before" in given:
        raise InvalidInput("delay and not_before say the same: give one of them.")
    try:
        wait = delay if isinstance(delay, timedelta) else timedelta(seconds=delay)
        return {"not_before": datetime.now(UTC) + wait}
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInput(
            f"delay is {delay!r}: give seconds, or a timedelta, of a year at most."
        ) from error


def _debounce_fields(debounce: object) -> dict[str, Any]:
    if not isinstance(debounce, Debounce):
        raise InvalidInput(f"debounce is {debounce!r}: give Debounce(key=…, seconds=…).")
    fields = {
        "debounce_key": debounce.key,
        "debounce_seconds": debounce.seconds,
        "debounce_max_seconds": debounce.max_seconds,
    }
    return {name: value for name, value in fields.items() if value is not None}
