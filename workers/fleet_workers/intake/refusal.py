"""What a refused message looks like on the dead-letter queue: as it came, and the reason."""

from collections.abc import Mapping
from typing import Any, Final

import pika
from pika.data import encode_table

from fleet_contracts.errors import FleetError
from fleet_workers.store.json_text import as_stored

REASON_CODE_HEADER: Final = "fleet-reason-code"
REASON_HEADER: Final = "fleet-reason"
USER_HEADER: Final = "fleet-user-id"
_REASON_CHARACTERS: Final = 2000
_BROKERS_AND_OURS: Final = (
    "x-death",
    "x-delivery-count",
    "x-first-death-",
    "x-last-death-",
    "fleet-",
)
_MOST_BYTES: Final = 64 * 1024
"""All headers must go into one frame, of 128 KiB unless the broker says otherwise."""


def with_reason(came: pika.BasicProperties, error: FleetError) -> pika.BasicProperties:
    """The properties of a message without those that the broker would act on, and the reason."""
    own: dict[str, Any] = {
        REASON_CODE_HEADER: error.code,
        REASON_HEADER: as_stored(str(error))[:_REASON_CHARACTERS],
    }
    if came.user_id:
        own[USER_HEADER] = came.user_id
    return pika.BasicProperties(
        content_type=came.content_type,
        content_encoding=came.content_encoding,
        headers={**_sendable(came.headers or {}), **own},
        delivery_mode=pika.DeliveryMode.Persistent.value,
        correlation_id=came.correlation_id,
        reply_to=came.reply_to,
        message_id=came.message_id,
        timestamp=came.timestamp,
        type=came.type,
        app_id=came.app_id,
    )


def _sendable(headers: Mapping[Any, Any]) -> dict[str, Any]:
    """Headers that can be sent again; one that cannot is left out, and all where they are many."""
    found = {
        name: value
        for name, value in headers.items()
        if isinstance(name, str) and not name.startswith(_BROKERS_AND_OURS) and _size(name, value)
    }
    return found if sum(_size(*each) for each in found.items()) <= _MOST_BYTES else {}


def _size(name: str, value: object) -> int:
    """Bytes of a header on the wire; 0 for what AMQP's client can read and not write."""
    try:
        size: int = encode_table([], {name: value})
    except Exception:  # noqa: BLE001 whatever it is, the message must leave the queue
        return 0
    return size
