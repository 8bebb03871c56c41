"""The broker's queues as kombu declares them, from the names and arguments of the topology."""

from kombu import Exchange, Queue

from fleet_contracts import topology

AGENTS = Exchange(topology.AGENTS_EXCHANGE, type="topic", durable=True)
DEAD = Exchange(topology.DEAD_EXCHANGE, type="topic", durable=True)


def agent_queue(agent: str) -> Queue:
    """The queue that an agent's pool consumes."""
    address = topology.agent_address(agent)
    return Queue(
        address,
        exchange=AGENTS,
        routing_key=address,
        queue_arguments=topology.agent_queue_arguments(agent),
    )


def dead_queue(agent: str) -> Queue:
    """Where RabbitMQ puts an agent's messages that it gave up on."""
    address = topology.dead_address(agent)
    return Queue(
        address,
        exchange=DEAD,
        routing_key=address,
        queue_arguments=topology.dead_queue_arguments(),
    )


def review_queue() -> Queue:
    """Where items for people are announced. It is reached over the default exchange."""
    return Queue(
        topology.REVIEW_QUEUE,
        exchange=Exchange(""),
        routing_key=topology.REVIEW_QUEUE,
        queue_arguments=topology.review_queue_arguments(),
    )
