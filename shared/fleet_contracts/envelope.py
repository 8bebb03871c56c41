"""The task envelope, version 1: all that a producer says about a task."""

import json
import re
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from hashlib import sha256
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from fleet_contracts.errors import InvalidEnvelope
from fleet_contracts.ids import new_task_id, task_id_for_key

SCHEMA_VERSION: Final = 1
MAX_ENVELOPE_BYTES: Final = 256 * 1024
"""Limit on the JSON text of an envelope, in bytes of UTF-8."""

AUTO_AGENT: Final = "auto"
"""The agent name that asks the fleet to choose the agent."""

AgentName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
TenantName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
ShortText = Annotated[str, StringConstraints(min_length=1, max_length=200)]

# Everything below U+0020 but tab, line feed and carriage return, plus DEL and the C1 range.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")


class Priority(StrEnum):
    """How urgent a task is. `bulk` may wait for hours and is the cheapest."""

    HIGH = "high"
    NORMAL = "normal"
    BULK = "bulk"


def _default_id(fields: dict[str, Any]) -> UUID:
    if (key := fields.get("idempotency_key")) and (tenant := fields.get("tenant")):
        return task_id_for_key(tenant, key)
    return new_task_id()


class TaskEnvelope(BaseModel):
    """One request to one agent. Frozen; times carry a time zone; money is in US dollars.

    `idempotency_key` makes a repeat harmless: the same key with the same content is the same
    task, and an `id` that is not given follows from it. `deadline` is when an answer is of no
    more use. `reply_to` names a queue `reply.…` that gets the outcome as JSON. `data` is for
    programs, `input` for the agent to read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = SCHEMA_VERSION
    tenant: TenantName
    idempotency_key: ShortText | None = None
    id: UUID = Field(default_factory=_default_id)
    agent: AgentName = AUTO_AGENT
    input: Annotated[str, StringConstraints(min_length=1)]
    data: dict[str, Any] = Field(default_factory=dict)
    customer: ShortText | None = None
    session_id: ShortText | None = None
    priority: Priority = Priority.NORMAL
    deadline: AwareDatetime | None = None
    reply_to: (
        Annotated[str, StringConstraints(pattern=r"^reply\.[A-Za-z0-9._-]{1,200}$")] | None
    ) = None
    metadata: dict[ShortText, str] = Field(default_factory=dict, max_length=50)
    budget_usd: Annotated[Decimal, Field(gt=0, max_digits=12, decimal_places=6)] | None = None

    @field_validator("input")
    @classmethod
    def _input_has_words(cls, text: str) -> str:
        if not text.strip():
            raise ValueError("is blank: send the customer's words")
        return text

    @field_validator("data")
    @classmethod
    def _data_is_json(cls, data: dict[str, Any]) -> dict[str, Any]:
        try:
            # Read back, so that producer and worker hold the same: lists for tuples, text for keys.
            copy: dict[str, Any] = json.loads(json.dumps(data, allow_nan=False))
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(
                f"is not JSON ({error}): send objects, lists, texts, finite numbers, true, false "
                "and null"
            ) from error
        return copy

    @model_validator(mode="after")
    def _id_follows_from_key(self) -> Self:
        if self.idempotency_key and self.id != task_id_for_key(self.tenant, self.idempotency_key):
            raise ValueError(
                "id and idempotency_key disagree: leave id out, it follows from the key"
            )
        return self

    @model_validator(mode="after")
    def _text_is_clean(self) -> Self:
        for place, text in _texts(self.model_dump(exclude={"id", "deadline", "budget_usd"})):
            if found := _CONTROL.search(text):
                raise ValueError(
                    f"{place} contains the control character U+{ord(found[0]):04X}: "
                    "remove control characters before submitting"
                )
            if _LONE_SURROGATE.search(text):
                raise ValueError(f"{place} is not valid Unicode: send well-formed UTF-8")
        return self

    @property
    def content_hash(self) -> str:
        """SHA-256 in hex over everything but the id: what two equal requests share."""
        content = self.model_dump(mode="json", exclude={"id"})
        return sha256(
            json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
        ).hexdigest()

    def to_json(self) -> str:
        """Write the envelope as JSON text.

        Raises:
            InvalidEnvelope: The text is over `MAX_ENVELOPE_BYTES`.
        """
        text = self.model_dump_json()
        _check_size(len(text.encode()))
        return text

    def to_dict(self) -> dict[str, Any]:
        """Give the envelope as a JSON-ready dictionary, size-checked as in `to_json`."""
        parsed: dict[str, Any] = json.loads(self.to_json())
        return parsed


def parse_envelope(payload: object) -> TaskEnvelope:
    """Read an envelope from a dictionary or from JSON text.

    Raises:
        InvalidEnvelope: With one sentence a fault, each naming field and remedy.
    """
    if isinstance(payload, str | bytes):
        _check_size(len(payload.encode(errors="replace") if isinstance(payload, str) else payload))
        try:
            payload = json.loads(payload)
        except (ValueError, RecursionError) as error:
            raise InvalidEnvelope(
                f"The envelope is not JSON ({error}): send a JSON object."
            ) from error
    if not isinstance(payload, dict):
        raise InvalidEnvelope(f"The envelope is a {type(payload).__name__}: send a JSON object.")
    try:
        _check_version(payload.get("schema_version", SCHEMA_VERSION))
        envelope = TaskEnvelope.model_validate(payload)
        envelope.to_json()
    except ValidationError as error:
        raise InvalidEnvelope(_explain(error)) from error
    except (ValueError, RecursionError) as error:
        raise InvalidEnvelope(f"The envelope cannot be written as JSON: {error}.") from error
    return envelope


def build_envelope(**fields: Any) -> TaskEnvelope:
    """Make an envelope from keyword arguments, with the errors of `parse_envelope`."""
    return parse_envelope({name: value for name, value in fields.items() if value is not None})


def _check_version(version: object) -> None:
    if version != SCHEMA_VERSION or isinstance(version, bool):
        raise InvalidEnvelope(
            f"schema_version {version!r} is not known here: send version {SCHEMA_VERSION}, "
            "or upgrade the workers before the producers."
        )


def _check_size(size: int) -> None:
    if size > MAX_ENVELOPE_BYTES:
        raise InvalidEnvelope(
            f"The envelope is {size:,} bytes, the limit is {MAX_ENVELOPE_BYTES:,}: "
            "shorten the text, or put large content in a store and send its address in data."
        )


def _texts(value: object, place: str = "") -> list[tuple[str, str]]:
    if isinstance(value, str):
        return [(place, value)]
    if isinstance(value, dict):
        inner = [(f"{place}.{key}".lstrip("."), item) for key, item in value.items()]
        keys = [(f"a key of {place or 'the envelope'}", str(key)) for key in value]
    elif isinstance(value, list | tuple):
        inner = [(f"{place}[{index}]", item) for index, item in enumerate(value)]
        keys = []
    else:
        return []
    return keys + [text for name, item in inner for text in _texts(item, name)]


def _explain(error: ValidationError) -> str:
    faults = []
    for fault in error.errors(include_url=False, include_input=False):
        if fault["type"] == "default_factory_not_called":
            continue  # the id follows from a field that has a fault of its own
        place = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            faults.append(f"{place} is not a field of an envelope: put it under data or metadata")
        elif fault["type"] == "missing":
            faults.append(f"{place} is missing")
        else:
            message = fault["msg"].removeprefix("Value error, ")
            faults.append(f"{place}: {message}" if place else message)
    return "The envelope was not accepted. " + "; ".join(faults) + "."


def is_past(deadline: datetime | None, now: datetime) -> bool:
    """Tell whether a deadline was set and has passed."""
    return deadline is not None and deadline <= now
