"""Reads a message of the intake as the task that it is."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from fleet_contracts.codec import CORRELATION_KEY, TRACE_HEADER, valid_traceparent
from fleet_contracts.envelope import MAX_ENVELOPE_BYTES, TaskEnvelope, parse_envelope
from fleet_contracts.errors import InvalidEnvelope
from fleet_workers.intake.publishers import Publishers


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeMessage:
    """A message as it came. The texts are AMQP's properties, None where not given."""

    body: bytes
    is_redelivered: bool = False
    headers: Mapping[str, Any]
    message_id: str | None = None
    correlation_id: str | None = None
    reply_to: str | None = None
    user_id: str | None = None
    content_encoding: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadTask:
    """What a message asks for. `content` stands for a message that names nothing of its own.

    It is the SHA-256 of the body, and None where an id or a key makes a repeat known.
    """

    envelope: TaskEnvelope
    traceparent: str | None
    content: bytes | None


def read_task(message: IntakeMessage, publishers: Publishers) -> ReadTask:
    """Read the task in a message: the fields of `POST /v1/tasks`, and its tenant.

    AMQP's `message_id` serves as idempotency key, `reply_to` as the field of that name and
    `correlation_id` as metadata, where the body lacks them.

    Raises:
        InvalidEnvelope: It is no task; one sentence a fault, each naming the remedy.
        Unauthorized: Its publisher may not name this tenant.
    """
    fields = _fields(message)
    _fill(fields, "idempotency_key", None if fields.get("id") else message.message_id)
    _fill(fields, "reply_to", message.reply_to)
    if message.correlation_id and isinstance(metadata := fields.get("metadata") or {}, dict):
        fields["metadata"] = {CORRELATION_KEY: message.correlation_id, **metadata}
    fields["tenant"] = publishers.tenant_of(message.user_id, fields.get("tenant"))
    if fields["tenant"] is None:
        del fields["tenant"]  # so that it is missing, not wrong
    has_identity = bool(fields.get("id") or fields.get("idempotency_key"))
    return ReadTask(
        envelope=parse_envelope(fields),
        traceparent=valid_traceparent(_text(message.headers.get(TRACE_HEADER))),
        content=None if has_identity else sha256(message.body).digest(),
    )


def _fields(message: IntakeMessage) -> dict[str, Any]:
    if (encoding := message.content_encoding or "utf-8").lower() not in (
        "utf-8",
        "utf8",
        "identity",
    ):
        raise InvalidEnvelope(f"The message is encoded as {encoding}: send plain UTF-8.")
    if len(message.body) > MAX_ENVELOPE_BYTES:
        raise InvalidEnvelope(
            f"The message is {len(message.body):,} bytes, the limit is {MAX_ENVELOPE_BYTES:,}: "
            "shorten the text, or put large content in a store and send its address in data."
        )
    try:
        fields = json.loads(message.body.decode())
    except (ValueError, RecursionError) as error:
        raise InvalidEnvelope(
            f"The message is not JSON in UTF-8 ({error}): send one JSON object."
        ) from error
    if not isinstance(fields, dict):
        raise InvalidEnvelope(
            f"The message is a JSON {type(fields).__name__}: send one JSON object with the fields "
            "of a task."
        )
    return fields


def _fill(fields: dict[str, Any], name: str, value: str | None) -> None:
    if value and fields.get(name) is None:
        fields[name] = value


def _text(value: object) -> object:
    return value.decode("ascii", "replace") if isinstance(value, bytes) else value
