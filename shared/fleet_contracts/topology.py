"""Names and arguments of everything on the broker.

One name per agent serves as Celery task name, routing key and queue name, so that what
Flower, RabbitMQ and the logs show is the same word.
"""

from typing import Any, Final

AGENTS_EXCHANGE: Final = "agents"
"""Topic exchange that every agent queue is bound to."""

DEAD_EXCHANGE: Final = "agents.dead"
"""Topic exchange that RabbitMQ sends refused and over-delivered messages to."""

REVIEW_QUEUE: Final = "human.review"
"""One JSON message for each item that waits for a person."""

EVENTS_EXCHANGE: Final = "fleet.events"
"""Topic exchange on which each change of a task's state is told, on RabbitMQ."""

INTAKE_QUEUE: Final = "fleet.intake"
"""Tasks as plain JSON, one a message, from programs that know nothing of Celery; on RabbitMQ."""

INTAKE_DEAD_QUEUE: Final = "fleet.intake.dead"
"""Messages of the intake that are no tasks, as they came, each with the reason in its headers."""

INTAKE_DELIVERY_LIMIT: Final = 10
"""Redeliveries after which RabbitMQ puts a message of the intake aside: none is given back, so
each is a process that died with it."""

DELIVERY_LIMIT: Final = 3
"""Redeliveries after which RabbitMQ itself puts a message aside, behind the store's own count."""

REVIEW_QUEUE_MAX_MESSAGES: Final = 100_000
"""The store holds the truth; without a reader the queue keeps the newest announcements only."""


def is_rabbitmq(broker_url: str) -> bool:
    """Tell whether the broker speaks AMQP: others have no dead-letter queues of their own."""
    return broker_url.startswith(("amqp", "pyamqp"))


def agent_address(agent: str) -> str:
    """Task name, routing key and queue name of an agent.

    All addresses have the same two parts, and agent names hold no dot, so no address is a dotted
    suffix of another (kombu binds `#.<key>`, which would deliver to both).
    """
    return f"agent.{agent}"


def dead_address(agent: str) -> str:
    """Dead-letter queue of an agent."""
    return f"{agent_address(agent)}.dead"


def event_address(tenant: str, agent: str, state: str) -> str:
    """Routing key of a task's event; no part of it holds a dot."""
    return f"task.{tenant}.{agent}.{state}"


def wake_address(queue: str) -> str:
    """Key beside a queue on a redis:// broker, on which its consumers sleep: a sorted set."""
    return f"{queue}.wake"


def agent_queue_arguments(agent: str) -> dict[str, Any]:
    """RabbitMQ arguments of an agent's queue (documented for 3.10 and 4.x; tested with 3.10).

    At-least-once dead-lettering needs `reject-publish`, or a full dead-letter queue loses messages.
    """
    return {
        "x-queue-type": "quorum",
        "x-delivery-limit": DELIVERY_LIMIT,
        "x-dead-letter-exchange": DEAD_EXCHANGE,
        "x-dead-letter-routing-key": dead_address(agent),
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


def dead_queue_arguments() -> dict[str, Any]:
    """RabbitMQ arguments of a dead-letter queue."""
    return {"x-queue-type": "quorum"}


def review_queue_arguments() -> dict[str, Any]:
    """RabbitMQ arguments of the review queue."""
    return {"x-queue-type": "quorum", "x-max-length": REVIEW_QUEUE_MAX_MESSAGES}


def intake_queue_arguments() -> dict[str, Any]:
    """RabbitMQ arguments of the intake; as for an agent's queue."""
    return {
        "x-queue-type": "quorum",
        "x-delivery-limit": INTAKE_DELIVERY_LIMIT,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": INTAKE_DEAD_QUEUE,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
