"""How an envelope travels: Celery's message protocol 2, written and read without Celery."""

import json
import re
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fleet_contracts.envelope import TaskEnvelope
from fleet_contracts.topology import agent_address

TRACE_HEADER = "traceparent"

STORED_HEADER = "fleet_stored"
"""True on a message about a task that stands in the store: a hint, a wrong one costs time only."""

_TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")

CORRELATION_KEY = "correlation_id"
"""Under this key the metadata of a task keeps the `correlation_id` that its reply is to have."""

SUBMITTED_HEADER = "fleet_submitted_at"
"""When the producer sent the task, ISO 8601: the order of a session's tasks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WireMessage:
    """A message ready for any AMQP client: publish `body` to `routing_key` on the exchange.

    `properties` holds AMQP's own fields; `headers` Celery's and the W3C `traceparent`.
    """

    routing_key: str
    body: str
    headers: dict[str, Any]
    properties: dict[str, Any]


def encode_task(
    envelope: TaskEnvelope,
    *,
    agent: str | None = None,
    traceparent: str | None = None,
    stored: bool = False,
) -> WireMessage:
    """Encode one task for the queue of its agent (of `agent`, where the fleet chose another).

    `stored` says that the task stands in the store already.

    Source: Celery's documentation, "Message Protocol", version 2. The body is
    `[args, kwargs, embed]` with the envelope as the only positional argument.

    Raises:
        InvalidEnvelope: The envelope is over the size limit.
    """
    address = agent_address(agent or envelope.agent)
    task_id = str(envelope.id)
    embed = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    return WireMessage(
        routing_key=address,
        body=json.dumps([[envelope.to_dict()], {}, embed]),
        headers={
            "lang": "py",
            "task": address,
            "id": task_id,
            "root_id": task_id,
            "parent_id": None,
            "group": None,
            "retries": 0,
            "eta": None,
            "expires": None,
            "timelimit": [None, None],
            "argsrepr": f"[{task_id}]",
            "kwargsrepr": "{}",
            "origin": f"fleet@{socket.gethostname()}",
            "ignore_result": True,
            **({TRACE_HEADER: traceparent} if traceparent else {}),
            **(
                {STORED_HEADER: True}
                if stored
                else {SUBMITTED_HEADER: datetime.now(UTC).isoformat()}
            ),
        },
        properties={
            "content_type": "application/json",
            "content_encoding": "utf-8",
            "correlation_id": task_id,
            "delivery_mode": 2,
        },
    )


def valid_traceparent(header: object) -> str | None:
    """A header where it is a W3C trace context, version 00; else None, as the standard asks."""
    return header if isinstance(header, str) and _TRACEPARENT.fullmatch(header) else None
