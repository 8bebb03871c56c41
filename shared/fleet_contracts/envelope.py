"""The task envelope, version 1: all that a producer says about a task."""

import json
import re
from datetime import UTC, datetime, timedelta
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

LONGEST_DELAY: Final = timedelta(days=366)
"""No task may be put off for longer."""

LONGEST_DEBOUNCE_SECONDS: Final = 24 * 3600.0
WINDOWS_AT_MOST: Final = 10
"""After so many windows a debounced task runs though others keep coming, unless told otherwise."""

AUTO_AGENT: Final = "auto"
"""The agent name that asks the fleet to choose the agent."""

AgentName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
TenantName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
ShortText = Annotated[str, StringConstraints(min_length=1, max_length=200)]

# Everything below U+0020 but tab, line feed and carriage return, plus DEL and the C1 range.
_Window = Annotated[float, Field(gt=0, le=LONGEST_DEBOUNCE_SECONDS, allow_inf_nan=False)]

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


def _is_none(value: object) -> bool:
    return value is None


class TaskEnvelope(BaseModel):
    """One request to one agent. Frozen; times carry a time zone; money is in US dollars.

    `idempotency_key` makes a repeat harmless: the same key with the same content is the same
    task, and an `id` that is not given follows from it. `deadline` is when an answer is of no
    more use. `reply_to` names a queue `reply.…` that gets the outcome as JSON. `data` is for
    programs, `input` for the agent to read.

    The task does not start before `not_before`. Of tasks of one tenant and agent with the same
    `debounce_key` only the last one runs, `debounce_seconds` after it came, and at most
    `debounce_max_seconds` (10 times that where not given) after the first.
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
    # Left out where not set: workers of an earlier version then read the envelope, too.
    not_before: AwareDatetime | None = Field(default=None, exclude_if=_is_none)
    debounce_key: ShortText | None = Field(default=None, exclude_if=_is_none)
    debounce_seconds: _Window | None = Field(default=None, exclude_if=_is_none)
    debounce_max_seconds: _Window | None = Field(default=None, exclude_if=_is_none)

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
    def _times_agree(self) -> Self:
        if fault := _fault_of_times(self):
            raise ValueError(fault)
        return self

    @model_validator(mode="after")
    def _text_is_clean(self) -> Self:
        texts = self.model_dump(exclude={"id", "deadline", "budget_usd", "not_before"})
        for place, text in _texts(texts):
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
        """SHA-256 in hex of what two equal requests share: everything but id and `not_before`.

        A repeat of "in ten minutes" that is sent a second later asks for the same.
        """
        content = self.model_dump(mode="json", exclude={"id", "not_before"})
        return sha256(
            json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
        ).hexdigest()

    @property
    def is_timed(self) -> bool:
        """Whether the task may have to wait before it is queued for a worker."""
        return self.not_before is not None or self.debounce_key is not None

    @property
    def longest_window_seconds(self) -> float:
        """How long after the first of its key the task runs at the latest; 0 without a key."""
        window = self.debounce_seconds or 0.0
        return self.debounce_max_seconds or window * WINDOWS_AT_MOST

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


def _fault_of_times(envelope: TaskEnvelope) -> str | None:
    start, ends, key = envelope.not_before, envelope.deadline, envelope.debounce_key
    window, longest = envelope.debounce_seconds, envelope.debounce_max_seconds
    faults = {
        f"not_before is over {LONGEST_DELAY.days} days ahead: submit the task later": (
            start is not None and start > datetime.now(UTC) + LONGEST_DELAY
        ),
        "deadline is not after not_before: the task could never run, move one of them": (
            start is not None and ends is not None and ends <= start
        ),
        "debounce_seconds needs a debounce_key: name what the tasks have in common": (
            key is None and (window, longest) != (None, None)
        ),
        "debounce_key needs debounce_seconds: say how long to wait for a later task": (
            key is not None and window is None
        ),
        "not_before and debounce_key exclude each other: send one of them": (
            key is not None and start is not None
        ),
        "debounce_max_seconds is less than debounce_seconds: make it as long at least": (
            window is not None and longest is not None and longest < window
        ),
    }
    return next((text for text, is_so in faults.items() if is_so), None)


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
