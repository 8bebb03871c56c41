"""What other services cost: noting changes, telling them, streams, and taking in plain JSON."""

import contextlib
import json
import time
from collections.abc import Iterator
from statistics import median
from uuid import uuid4

import pika
from sqlalchemy import Connection, Engine, text

from bench.figures import Figure, Said
from fleet_contracts.envelope import build_envelope
from fleet_contracts.states import TaskState
from fleet_workers.agents import load_catalogue
from fleet_workers.intake.courier import IntakeCourier
from fleet_workers.intake.publishers import Publishers
from fleet_workers.janitor.event_publisher import READER, EventPublisher
from fleet_workers.store import task_events, tasks, views
from fleet_workers.store.row_security import for_tenant
from fleet_workers.web.task_news import Place, look_at
from support.stacks import Stack, open_stack

_TASKS = 300  # each way, by turns: what disturbs the machine disturbs both
_LOOKS = 500
_EVENTS = 2000
_MESSAGES = 2000
_INSERT = text("""
INSERT INTO tasks (id, tenant, agent, requested_agent, state, envelope, content_hash)
VALUES (gen_random_uuid(), 'acme', 'billing', 'billing', 'queued', '{"input": "x"}', 'h')
RETURNING id
""")
_RUN = text("UPDATE tasks SET state = 'running', epoch = 1 WHERE id = :id")
_END = text("""
UPDATE tasks SET state = 'succeeded', finished_at = now(),
    outcome = jsonb_build_object('kind', 'answered', 'answer', repeat('x', 600)) WHERE id = :id
""")


def measure() -> Iterator[Said]:
    """On RabbitMQ and a store of its own, without waiting for the disk."""
    with open_stack("rabbitmq") as stack:
        with stack.engine.begin() as connection:
            name = stack.engine.url.database
            connection.execute(text(f'ALTER DATABASE "{name}" SET synchronous_commit = off'))
        stack.engine.dispose()
        yield from _noting(stack.engine)
        yield from _looks(stack.engine)
        yield from _telling(stack)
        yield from _taking_in(stack)


def _noting(engine: Engine) -> Iterator[Figure]:
    seconds: dict[str, list[float]] = {"origin": [], "replica": []}
    with engine.connect() as connection:
        for _ in range(_TASKS):
            for role, spent in seconds.items():
                # As a replica a session fires no such triggers.
                connection.execute(text(f"SET session_replication_role = {role}"))
                connection.commit()
                begun = time.perf_counter()
                _live(connection)
                spent.append(time.perf_counter() - begun)
        connection.execute(text("SET session_replication_role = origin"))
        connection.commit()
    with_events, without = (median(seconds[role]) * 1000 for role in ("origin", "replica"))
    yield Figure(name="events.task_without", value=without, unit="ms")
    yield Figure(name="events.task_with", value=with_events, unit="ms")
    yield Figure(name="events.noting_a_change", value=(with_events - without) / 3, unit="ms")


def _live(connection: Connection) -> None:
    task_id = connection.execute(_INSERT).scalar_one()
    connection.commit()
    for statement in (_RUN, _END):
        connection.execute(statement, {"id": task_id})
        connection.commit()


def _looks(engine: Engine) -> Iterator[Figure]:
    """A stream looks once a second while nothing happens."""
    envelope = build_envelope(tenant="acme", agent="billing", input="x")
    with engine.begin() as connection:
        tasks.accept(connection, envelope, traceparent=None)
    bound, place = for_tenant(engine, "acme"), Place()
    with engine.begin() as connection:
        view = views.view(connection, envelope.id, tenant=None)
    assert view is not None
    begun, used = time.perf_counter(), time.thread_time()
    for _ in range(_LOOKS):
        with bound.begin() as connection:
            look_at(connection, view, place, is_first=False)
    yield Figure(
        name="streams.look", value=(time.perf_counter() - begun) / _LOOKS * 1000, unit="ms"
    )
    processor_ms = (time.thread_time() - used) / _LOOKS * 1000
    yield Figure(name="streams.look_processor", value=processor_ms, unit="ms")


def _telling(stack: Stack) -> Iterator[Figure]:
    engine = stack.engine
    with engine.begin() as connection:
        while task_events.give_places(connection, limit=1000):
            pass
        task_events.take_mark(connection, READER)
        for _ in range(_EVENTS):
            connection.execute(_INSERT)
    begun = time.perf_counter()
    for _ in range(_EVENTS // 1000):
        with engine.begin() as connection:
            task_events.give_places(connection, limit=1000)
    yield Figure(
        name="events.placed", value=_EVENTS / (time.perf_counter() - begun), unit="events/s"
    )
    publisher = EventPublisher(engine, stack.broker_url, states=tuple(TaskState), with_task=False)
    with contextlib.closing(publisher), _queue(stack, "bench.events") as channel:
        channel.exchange_declare("fleet.events", "topic", durable=True)
        channel.queue_bind("bench.events", "fleet.events", "#")
        begun, used = time.perf_counter(), time.thread_time()
        while _is_behind(engine):
            publisher.publish_next()
        took, processor = time.perf_counter() - begun, time.thread_time() - used
        told = channel.queue_declare("bench.events", passive=True).method.message_count
    assert told == _EVENTS
    yield Figure(name="events.published", value=_EVENTS / took, unit="events/s")
    yield Figure(name="events.publish_processor", value=processor / told * 1000, unit="ms")


def _is_behind(engine: Engine) -> bool:
    with engine.begin() as connection:
        return task_events.is_behind(connection, READER)


def _taking_in(stack: Stack) -> Iterator[Figure]:
    """One courier of one janitor, from a full queue until the last task is in the store."""
    courier = IntakeCourier(
        stack.engine,
        stack.broker_url,
        load_catalogue(),
        Publishers.of(()),
        send=lambda _letters: None,
    )
    run = f"bench-{uuid4().hex}"
    body = {"tenant": "acme", "agent": "billing", "customer": run, "input": "Where is it?"}
    with courier.at_work(), _queue(stack, "bench.idle"):
        while not _has_queue(stack, "fleet.intake"):
            time.sleep(0.05)
    with _queue(stack, "bench.idle") as channel:
        for number in range(_MESSAGES):
            message = json.dumps({**body, "idempotency_key": f"{run} {number}"}).encode()
            channel.basic_publish("", "fleet.intake", message, pika.BasicProperties())
    courier = IntakeCourier(
        stack.engine,
        stack.broker_url,
        load_catalogue(),
        Publishers.of(()),
        send=lambda _letters: None,
    )
    begun = time.perf_counter()
    with courier.at_work():
        while _taken(stack.engine, run) < _MESSAGES:
            time.sleep(0.05)
        took = time.perf_counter() - begun
    yield Figure(name="intake.taken_in", value=_MESSAGES / took, unit="messages/s")


def _taken(engine: Engine, run: str) -> int:
    query = text("SELECT count(*) FROM tasks WHERE customer = :run")
    with engine.connect() as connection:
        return int(connection.execute(query, {"run": run}).scalar_one())


@contextlib.contextmanager
def _queue(stack: Stack, name: str) -> Iterator[pika.adapters.blocking_connection.BlockingChannel]:
    connection = pika.BlockingConnection(pika.URLParameters(stack.broker_url))
    try:
        channel = connection.channel()
        channel.queue_declare(name, durable=True)
        channel.confirm_delivery()
        yield channel
    finally:
        connection.close()


def _has_queue(stack: Stack, name: str) -> bool:
    with _queue(stack, "bench.idle") as channel:
        try:
            channel.queue_declare(name, passive=True)
        except pika.exceptions.ChannelClosedByBroker:
            return False
        return True
