"""Shows what stands in the agents' queues on RabbitMQ, and takes nothing out."""

from collections.abc import Iterable

import pika
from pydantic import BaseModel, ConfigDict

from fleet_contracts.errors import ConfigurationError, InvalidEnvelope
from fleet_contracts.topology import agent_address, dead_address, is_rabbitmq
from fleet_workers.broker.rabbitmq import connected, count_ready, death_of
from fleet_workers.deadletters.message import read_message


class PeekedMessage(BaseModel):
    """A message in a dead-letter queue. `task_id` is None where it holds no readable task."""

    model_config = ConfigDict(frozen=True)

    task_id: str | None
    reason: str
    times: int
    size_bytes: int


class AgentQueues(BaseModel):
    """Messages that wait for an agent, and those that RabbitMQ gave up; None: no such queue."""

    model_config = ConfigDict(frozen=True)

    agent: str
    ready: int | None
    dead: int | None
    first_dead: list[PeekedMessage]


def inspect_queues(broker_url: str, agents: Iterable[str], *, peek: int = 3) -> list[AgentQueues]:
    """Count the messages of each agent and look at the first dead ones, `peek` at most.

    Looking counts as a delivery on the dead-letter queue; messages keep their place.

    Raises:
        ConfigurationError: The broker is not RabbitMQ.
        Unavailable: It does not answer.
    """
    if not is_rabbitmq(broker_url):
        kind = broker_url.partition("://")[0]
        raise ConfigurationError(
            f"The broker ({kind}) has no dead-letter queues of its own; RabbitMQ has. All that "
            "the fleet gave up stands in the store: `fleetctl dead list`."
        )
    with connected(broker_url) as connection:
        return [_look(connection, agent, peek) for agent in agents]


def _look(connection: pika.BlockingConnection, agent: str, peek: int) -> AgentQueues:
    dead = count_ready(connection, dead_address(agent))
    return AgentQueues(
        agent=agent,
        ready=count_ready(connection, agent_address(agent)),
        dead=dead,
        first_dead=_peek(connection, dead_address(agent), min(peek, dead)) if dead else [],
    )


def _peek(connection: pika.BlockingConnection, queue: str, most: int) -> list[PeekedMessage]:
    channel = connection.channel()
    found: list[PeekedMessage] = []
    for _ in range(most):
        method, properties, body = channel.basic_get(queue)
        if method is None:
            break
        reason, times = death_of(properties.headers)
        found.append(
            PeekedMessage(task_id=_task_id(body), reason=reason, times=times, size_bytes=len(body))
        )
    if found:
        channel.basic_nack(delivery_tag=0, multiple=True, requeue=True)
    channel.close()
    return found


def _task_id(body: bytes) -> str | None:
    try:
        return str(read_message(body).id)
    except InvalidEnvelope:
        return None
