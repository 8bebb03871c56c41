"""What RabbitMQ loads when it starts, so that every address is there before the first process.

Source: RabbitMQ's documentation, "Schema Definition Export and Import".
"""

from collections.abc import Iterable
from typing import Any, Final

from kombu import Exchange, Queue

from fleet_contracts import topology
from fleet_contracts.envelope import AUTO_AGENT
from fleet_workers.broker.queues import AGENTS, DEAD, agent_queue, dead_queue, review_queue

VHOST: Final = "/"
_EVENTS: Final = Exchange(topology.EVENTS_EXCHANGE, type="topic", durable=True)
_WAITING_BYTES: Final = 4 * 1024**3
"""Messages wait on the broker only while no worker and no store takes them; then publishers are
told so (`reject-publish`), before the broker's disk is full."""


def broker_definitions(agents: Iterable[str]) -> dict[str, Any]:
    """Exchanges, queues, bindings and policies of a fleet with these agents, without users.

    The queues have the arguments with which pools declare them: with others, RabbitMQ would refuse
    the pools.
    """
    names = sorted({*agents, AUTO_AGENT})
    queues = [each for name in names for each in (agent_queue(name), dead_queue(name))]
    queues += [review_queue(), *_intake_queues()]
    return {
        "exchanges": [_exchange(each) for each in (AGENTS, DEAD, _EVENTS)],
        "queues": [_queue(each) for each in queues],
        "bindings": [_binding(each) for each in queues if each.exchange and each.exchange.name],
        "policies": [
            {
                "vhost": VHOST,
                "name": "waiting",
                "pattern": r"^(agent\.[a-z0-9_]+|fleet\.intake)$",
                "apply-to": "queues",
                "priority": 0,
                "definition": {"max-length-bytes": _WAITING_BYTES},
            }
        ],
    }


def _intake_queues() -> list[Queue]:
    """Where plain JSON is taken in and put aside; the janitor declares them with pika."""
    arguments = {
        topology.INTAKE_QUEUE: topology.intake_queue_arguments(),
        topology.INTAKE_DEAD_QUEUE: topology.dead_queue_arguments(),
    }
    return [
        Queue(name, exchange=Exchange(""), routing_key=name, queue_arguments=each)
        for name, each in arguments.items()
    ]


def _exchange(exchange: Exchange) -> dict[str, Any]:
    return {
        "vhost": VHOST,
        "name": exchange.name,
        "type": exchange.type,
        "durable": True,
        "auto_delete": False,
        "internal": False,
        "arguments": {},
    }


def _queue(queue: Queue) -> dict[str, Any]:
    return {
        "vhost": VHOST,
        "name": queue.name,
        "durable": True,
        "auto_delete": False,
        "arguments": queue.queue_arguments or {},
    }


def _binding(queue: Queue) -> dict[str, Any]:
    return {
        "vhost": VHOST,
        "source": queue.exchange.name,
        "destination": queue.name,
        "destination_type": "queue",
        "routing_key": queue.routing_key,
        "arguments": {},
    }
