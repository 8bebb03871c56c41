"""RabbitMQ's own dead-letter queues: looked into, and drained into the store."""

import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pika
import pytest
from sqlalchemy import select

from fleet_contracts.codec import encode_task
from fleet_contracts.envelope import TaskEnvelope, build_envelope
from fleet_contracts.errors import Unavailable
from fleet_contracts.states import TaskState
from fleet_contracts.topology import AGENTS_EXCHANGE, DELIVERY_LIMIT, agent_address, dead_address
from fleet_workers.broker.postman import Postman
from fleet_workers.deadletters.drain import DeadQueueDrain
from fleet_workers.deadletters.inspection import inspect_queues
from fleet_workers.store import dead_letters, tables, tasks
from fleet_workers.store.engine import open_engine
from support.bench import until
from support.graveyard import Graveyard, Postbag
from support.stacks import Stack, open_stack
from support.tcp_proxy import TcpProxy

QUEUE, DEAD_QUEUE = agent_address("parcels"), dead_address("parcels")


@pytest.fixture(scope="module")
def rabbit() -> Iterator[Stack]:
    with open_stack("rabbitmq") as stack:
        postman = Postman(stack.engine, stack.broker_url)
        postman.declare(["parcels"])
        postman.close()
        yield stack


@pytest.fixture
def channel(rabbit: Stack) -> Iterator[Any]:
    with pika.BlockingConnection(pika.URLParameters(rabbit.broker_url)) as connection:
        channel = connection.channel()
        for queue in (QUEUE, DEAD_QUEUE):
            channel.queue_purge(queue)
        channel.confirm_delivery()
        yield channel


@pytest.fixture
def graveyard(rabbit: Stack) -> Graveyard:
    return Graveyard.emptied(rabbit.engine)


@pytest.fixture
def bag() -> Postbag:
    return Postbag()


@pytest.fixture
def drain(rabbit: Stack, graveyard: Graveyard, bag: Postbag) -> Iterator[DeadQueueDrain]:
    made = DeadQueueDrain(
        broker_url=rabbit.broker_url,
        engine=rabbit.engine,
        catalogue=graveyard.catalogue,
        send=bag.send,
    )
    yield made
    made.close()


def task(**fields: object) -> TaskEnvelope:
    return build_envelope(
        **{"tenant": "acme", "agent": "parcels", "input": f"Where is it? {uuid4()}", **fields}
    )


def publish(channel: Any, body: str) -> None:
    channel.basic_publish(AGENTS_EXCHANGE, QUEUE, body.encode(), mandatory=True)


def take(channel: Any) -> Any:
    return until(
        lambda: (got := channel.basic_get(QUEUE))[0] and got, what="the message on the queue"
    )


def refuse(channel: Any, body: str) -> None:
    """Let RabbitMQ put a message aside, as for a consumer that rejects it."""
    publish(channel, body)
    method, _, _ = take(channel)
    channel.basic_nack(method.delivery_tag, requeue=False)


def dead(channel: Any, number: int) -> None:
    """Wait until so many messages stand in the dead-letter queue."""
    until(
        lambda: channel.queue_declare(DEAD_QUEUE, passive=True).method.message_count == number,
        what="dead letters on RabbitMQ",
    )


def row(graveyard: Graveyard, envelope: TaskEnvelope) -> Any:
    with graveyard.engine.begin() as connection:
        return connection.execute(
            select(tables.tasks).where(tables.tasks.c.id == envelope.id)
        ).one_or_none()


def test_a_message_over_the_delivery_limit_becomes_a_task_that_runs_apart(
    channel: Any, drain: DeadQueueDrain, graveyard: Graveyard, bag: Postbag
) -> None:
    # Given a task that the store never saw, whose message came to nothing four times
    envelope = task()
    publish(channel, encode_task(envelope).body)
    for _ in range(DELIVERY_LIMIT + 1):
        method, _, _ = take(channel)
        channel.basic_nack(method.delivery_tag, requeue=True)
    dead(channel, 1)
    # When the janitor drains the queue
    assert drain.drain() == 1
    # I expect the task to be queued, with two deliveries behind it
    found = row(graveyard, envelope)
    assert (found.state, found.deliveries, found.epoch) == (TaskState.QUEUED, 2, 0)
    assert bag.task_ids == [str(envelope.id)]
    dead(channel, 0)
    assert drain.drain() == 0


def test_a_task_that_the_store_knows_is_left_to_it(
    channel: Any, drain: DeadQueueDrain, graveyard: Graveyard, bag: Postbag
) -> None:
    envelope = task()
    with graveyard.engine.begin() as connection:
        tasks.accept(connection, envelope, traceparent=None)
    before = row(graveyard, envelope)
    refuse(channel, encode_task(envelope).body)
    dead(channel, 1)
    assert drain.drain() == 1
    assert row(graveyard, envelope) == before
    assert (bag.letters, graveyard.count("dead_letters")) == ([], 0)
    dead(channel, 0)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("{", "delivery_limit"),
        (json.dumps([[{"tenant": "acme"}], {}, {}]), "delivery_limit"),
        (task(tenant="nobody").to_json(), "unknown_tenant"),
        (task(agent="nobody").to_json(), "unknown_agent"),
    ],
)
def test_what_belongs_nowhere_becomes_a_dead_letter_of_the_fleet(
    channel: Any, drain: DeadQueueDrain, graveyard: Graveyard, body: str, reason: str
) -> None:
    refuse(channel, body)
    dead(channel, 1)
    assert drain.drain() == 1
    with graveyard.engine.begin() as connection:
        (letter,) = dead_letters.unsettled(connection)
    assert (letter.reason, letter.body, letter.queue) == (reason, body, DEAD_QUEUE)
    assert letter.error.startswith("RabbitMQ gave this message up (rejected, 1 times).")
    assert graveyard.count("tasks") == 0
    dead(channel, 0)


def test_while_the_store_is_away_messages_stay(
    channel: Any, rabbit: Stack, graveyard: Graveyard, bag: Postbag, drain: DeadQueueDrain
) -> None:
    envelope = task()
    refuse(channel, encode_task(envelope).body)
    dead(channel, 1)
    nowhere = open_engine(
        "postgresql+psycopg://nobody@127.0.0.1:1/nowhere", connections=1, application="tests"
    )
    stranded = DeadQueueDrain(
        broker_url=rabbit.broker_url,
        engine=nowhere,
        catalogue=graveyard.catalogue,
        send=bag.send,
    )
    with pytest.raises(Unavailable):
        stranded.drain()
    dead(channel, 1)
    assert drain.drain() == 1
    assert row(graveyard, envelope) is not None


def test_a_broker_that_is_away_or_another_kind_is_no_fault(graveyard: Graveyard) -> None:
    for url in ("amqp://127.0.0.1:1", "redis://127.0.0.1:1"):
        drain = DeadQueueDrain(
            broker_url=url,
            engine=graveyard.engine,
            catalogue=graveyard.catalogue,
            send=lambda _: None,
        )
        assert drain.drain() == 0
        drain.close()


def test_a_lost_connection_is_opened_again(
    channel: Any, rabbit: Stack, graveyard: Graveyard, bag: Postbag
) -> None:
    parts = urlsplit(rabbit.broker_url)
    with TcpProxy(parts.port or 5672) as proxy:
        drain = DeadQueueDrain(
            broker_url=rabbit.broker_url.replace(f":{parts.port}", f":{proxy.port}"),
            engine=rabbit.engine,
            catalogue=graveyard.catalogue,
            send=bag.send,
        )
        assert (drain.drain(), drain.drain(), proxy.connections) == (0, 0, 1)
        envelope = task()
        refuse(channel, encode_task(envelope).body)
        dead(channel, 1)
        proxy.cut()
        assert drain.drain() == 0
        assert drain.drain() == 1
        drain.close()
    assert row(graveyard, envelope) is not None


def test_empty_queues_cost_little(channel: Any, drain: DeadQueueDrain) -> None:
    drain.drain()
    begun = time.process_time()
    for _ in range(10):
        assert drain.drain() == 0
    assert (time.process_time() - begun) / 10 < 0.05


def test_looking_into_the_queues_takes_nothing_out(
    channel: Any, rabbit: Stack, graveyard: Graveyard
) -> None:
    envelope = task()
    refuse(channel, encode_task(envelope).body)
    refuse(channel, "{")
    publish(channel, encode_task(task()).body)
    dead(channel, 2)
    for _ in range(2):
        parcels, unknown = inspect_queues(rabbit.broker_url, ["parcels", "never_declared"])
        assert (parcels.ready, parcels.dead) == (1, 2)
        looks = [(each.task_id, each.reason, each.times) for each in parcels.first_dead]
        assert looks == [(str(envelope.id), "rejected", 1), (None, "rejected", 1)]
        assert (unknown.ready, unknown.dead) == (None, None)
        dead(channel, 2)
