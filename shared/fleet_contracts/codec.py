"""How an envelope travels: Celery's message protocol 2, written and read without Celery."""

import json
import socket
from dataclasses import dataclass
from typing import Any

from fleet_contracts.envelope import TaskEnvelope
from fleet_contracts.topology import agent_address

TRACE_HEADER = "traceparent"


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
    envelope: TaskEnvelope, *, agent: str | None = None, traceparent: str | None = None
) -> WireMessage:
    """Encode one task for the queue of its agent (of `agent`, where the fleet chose another).

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
        },
        properties={
            "content_type": "application/json",
            "content_encoding": "utf-8",
            "correlation_id": task_id,
            "delivery_mode": 2,
        },
    )
