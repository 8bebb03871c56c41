"""What happens to messages of a redis:// broker: none is lost, whenever a consumer is killed."""

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis
from celery import Celery
from kombu import Connection, Consumer, Exchange, Queue
from kombu.pools import ProducerPool

from fleet_client.connection import FleetConnection
from fleet_contracts.topology import wake_address
from fleet_workers.app import FleetMessaging
from fleet_workers.broker.connection import WorkerConnection
from fleet_workers.broker.redis_transport import Transport
from support.redis_server import RedisServer

_PROGRAM = Path(__file__).with_name("killed_consumer.py")
_OPTIONS = {
    "visibility_timeout": 1,
    "unacked_restore_throttle": 1,
    "unacked_mutex_expire": 1,
    "socket_timeout": 5,
}


@pytest.fixture(scope="module")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("broker"))
    yield server
    server.kill()


@pytest.fixture
def server(_server: RedisServer) -> RedisServer:
    if not _server.is_running:
        _server.start()
    _server.flush()
    return _server


@pytest.fixture
def look(server: RedisServer) -> Iterator[redis.Redis]:
    """A look at what lies in the server."""
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        yield client


@pytest.fixture
def queue() -> str:
    return f"q_{uuid4().hex[:8]}"


def _publish(
    url: str, queue: str, *bodies: Any, through: type[Connection] = FleetConnection, **more: Any
) -> None:
    with through(url) as connection:
        producer = connection.Producer()
        for body in bodies:
            producer.publish(body, routing_key=queue, serializer="json", **more)


class Receiver:
    """Consumes queues in this process, and acknowledges what it gets unless told otherwise."""

    def __init__(self, url: str, *queues: str | Queue, keep: bool = False, **options: Any) -> None:
        self.got: list[Any] = []
        self.messages: list[Any] = []
        self._keep = keep
        self.connection = WorkerConnection(url, transport_options=_OPTIONS)
        self.consumer = Consumer(
            self.connection,
            [each if isinstance(each, Queue) else Queue(each) for each in queues],
            on_message=self._take,
            **options,
        )
        self.consumer.consume()

    def wait(self, count: int, *, seconds: float = 20) -> list[Any]:
        """What has come once it is so many messages, or the time is over."""
        end = time.monotonic() + seconds
        while len(self.got) < count and time.monotonic() < end:
            with contextlib.suppress(TimeoutError):
                self.connection.drain_events(timeout=0.2)  # looks for lost messages at its end
        return self.got

    def _take(self, message: Any) -> None:
        self.messages.append(message)
        try:
            self.got.append(json.loads(message.body))
        except ValueError:
            self.got.append(message.body)
        if not self._keep:
            message.ack()


@contextlib.contextmanager
def _receiver(*arguments: Any, **options: Any) -> Iterator[Receiver]:
    receiver = Receiver(*arguments, **options)
    try:
        yield receiver
    finally:
        receiver.connection.release()


def _until(check: Callable[[], Any], *, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, "It did not come about."
        time.sleep(0.01)


@contextlib.contextmanager
def _killed_consumer(url: str, queue: str) -> Iterator[subprocess.Popen[str]]:
    words = (sys.executable, str(_PROGRAM), url, queue)
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _sleeps(look: redis.Redis) -> bool:
    return any(each["cmd"] in ("bzpopmin", "brpop") for each in look.client_list())


def test_a_message_outlives_a_consumer_killed_while_it_waits(
    server: RedisServer, look: redis.Redis, queue: str
) -> None:
    with _killed_consumer(server.url, queue) as stopped:
        _until(lambda: _sleeps(look))
        stopped.send_signal(signal.SIGSTOP)  # what the server sends now stays in its socket
        _publish(server.url, queue, "precious")
    with _receiver(server.url, queue) as other:
        assert other.wait(1) == ["precious"]


def test_a_message_outlives_a_consumer_killed_while_it_works(
    server: RedisServer, look: redis.Redis, queue: str
) -> None:
    with _killed_consumer(server.url, queue) as worker:
        _publish(server.url, queue, "precious")
        assert worker.stdout is not None
        assert worker.stdout.readline() == "took precious\n"
        assert look.hlen("unacked") == 1
    with _receiver(server.url, queue) as other:
        assert other.wait(1) == ["precious"]
        assert other.messages[0].headers["redelivered"]
    assert (look.hlen("unacked"), look.zcard("unacked_index"), look.llen(queue)) == (0, 0, 0)


def test_a_taken_message_is_noted_as_kombu_notes_it(
    server: RedisServer, look: redis.Redis, queue: str
) -> None:
    notes = []
    for kind in (WorkerConnection, Connection):
        _publish(server.url, queue, {"texts": [], "word": "Zażółć 🎉 /"})
        with kind(server.url) as connection:
            with Consumer(connection, [Queue(queue)], on_message=lambda _message: None):
                connection.drain_events(timeout=20)
                (note,) = look.hvals("unacked")
                ((_, at),) = look.zrange("unacked_index", 0, -1, withscores=True)
            notes.append(json.loads(note))
            assert abs(at - time.time()) < 30
        look.flushall()
    for message, _, _ in notes:
        del message["properties"]["delivery_tag"]
    assert notes[0] == notes[1]
    assert notes[0][1:] == ["", queue]


def test_a_consumer_that_stops_gives_back_what_it_has(
    server: RedisServer, look: redis.Redis, queue: str
) -> None:
    _publish(server.url, queue, "one")
    with _receiver(server.url, queue, keep=True) as first:
        assert first.wait(1) == ["one"]
        first.connection.default_channel.connection.cycle.on_poll_start()  # waits again
    assert (look.hlen("unacked"), look.llen(queue)) == (0, 1)
    with _receiver(server.url, queue) as second:
        assert second.wait(1) == ["one"]


@pytest.mark.parametrize("through", [Connection, FleetConnection])
def test_a_backlog_of_any_client_is_worked_off_without_pauses(
    server: RedisServer, queue: str, through: type[Connection]
) -> None:
    _publish(server.url, queue, *range(200), through=through)
    with _receiver(server.url, queue) as receiver:
        assert receiver.wait(1) == [0]
        begun = time.monotonic()
        assert receiver.wait(200) == list(range(200))
        assert time.monotonic() - begun < 20  # with a second's pause for each it would be 200


def test_who_takes_a_message_and_sees_another_wakes_the_next(
    server: RedisServer, look: redis.Redis, queue: str
) -> None:
    _publish(server.url, queue, "one", "two", through=Connection)
    with _receiver(server.url, queue, keep=True, prefetch_count=1) as first:
        assert first.wait(1) == ["one"]
        assert look.zcard(wake_address(queue)) == 1
        assert first.wait(2, seconds=0.1) == ["one"]  # it has its fill
        with _receiver(server.url, queue) as second:
            assert second.wait(1) == ["two"]


def test_several_queues_take_turns(server: RedisServer, queue: str) -> None:
    names = [f"{queue}_{each}" for each in "abc"]
    for name in names:
        _publish(server.url, name, *[name] * 10)
    with _receiver(server.url, *names) as receiver:
        got = receiver.wait(30)
    assert sorted(got) == sorted(names * 10)
    assert set(got[:6]) == set(names)


def test_what_is_urgent_comes_first(server: RedisServer, queue: str) -> None:
    _publish(server.url, queue, "later", priority=9)
    _publish(server.url, queue, "now", priority=0)
    with _receiver(server.url, queue) as receiver:
        assert receiver.wait(2) == ["now", "later"]


def test_what_nobody_acknowledges_is_not_noted(
    server: RedisServer, look: redis.Redis, queue: str
) -> None:
    _publish(server.url, queue, "one")
    with _receiver(server.url, queue, keep=True, no_ack=True) as receiver:
        assert receiver.wait(1) == ["one"]
        assert (look.hlen("unacked"), look.zcard("unacked_index")) == (0, 0)


def test_broadcasts_reach_everyone(server: RedisServer, queue: str) -> None:
    everyone = Exchange(f"{queue}_all", type="fanout")
    first, second = (Queue(f"{queue}_{each}", everyone) for each in "ab")
    with _receiver(server.url, first) as one, _receiver(server.url, second, queue) as other:
        for each in (one, other):
            each.wait(1, seconds=0.1)  # it has subscribed
        with FleetConnection(server.url) as publisher:
            publisher.Producer(exchange=everyone).publish("hello", serializer="json")
        assert (one.wait(1), other.wait(1)) == (["hello"], ["hello"])


_ADDRESS = '"delivery_tag": "t", "delivery_info": {"exchange": "", "routing_key": "r"}'


@pytest.mark.parametrize(
    "raw",
    [
        b"no JSON",
        b"{}",
        b'{"body": "\xff"}',
        b'{"properties": {"delivery_tag": 1, "delivery_info": {"exchange": null}}}',
        f'{{"body": "a", "properties": {{"body_encoding": "base64", {_ADDRESS}}}}}'.encode(),
        f'{{"body": 0x1F, "properties": {{{_ADDRESS}}}}}'.encode(),
    ],
)
def test_what_is_no_message_is_handed_on_as_the_body_of_one(
    server: RedisServer, look: redis.Redis, queue: str, raw: bytes
) -> None:
    look.lpush(queue, raw)
    _publish(server.url, queue, "good")
    with _receiver(server.url, queue, keep=True) as receiver:
        receiver.wait(2)
        bad, good = receiver.messages
        assert bad.body.decode() == raw.decode(errors="replace")
        assert good.body == b'"good"'
        assert bad.delivery_info["routing_key"] == queue
        assert {json.loads(each)[2] for each in look.hvals("unacked")} == {queue}
        bad.ack()
        good.ack()
    assert (look.hlen("unacked"), look.llen(queue)) == (0, 0)


def test_a_consumer_goes_on_after_the_server_was_restarted(server: RedisServer, queue: str) -> None:
    with _receiver(server.url, queue) as receiver:
        _publish(server.url, queue, "before")
        assert receiver.wait(1) == ["before"]
        server.kill()
        with pytest.raises(receiver.connection.connection_errors):
            receiver.wait(2)
        server.start()  # knows neither script nor queue
        _publish(server.url, queue, "after")
        assert receiver.wait(2) == ["before", "after"]


def test_a_word_that_nobody_reads_goes_away(look: redis.Redis, server: RedisServer) -> None:
    _publish(server.url, "replies", *range(50))
    assert look.zcard(wake_address("replies")) == 1
    assert 0 < look.ttl(wake_address("replies")) <= 3600


@pytest.mark.parametrize("kind", [FleetConnection, WorkerConnection])
def test_every_server_of_a_list_is_spoken_to_in_the_same_way(kind: type[FleetConnection]) -> None:
    connection = kind("redis://first:1/0;rediss://second:2/0?ssl_cert_reqs=none")
    name = f"{kind.redis_transport.partition(':')[0]}"
    assert connection.get_transport_cls().__module__ == name
    connection.switch(connection.alt[1])
    assert connection.get_transport_cls().__module__ == name
    assert (connection.hostname, bool(connection.ssl)) == ("second", True)
    assert connection.clone().get_transport_cls().__module__ == name


def test_other_brokers_are_left_to_kombu() -> None:
    for url in ("amqp://h//", "memory://"):
        assert WorkerConnection(url).get_transport_cls() is Connection(url).get_transport_cls()


def test_celery_and_its_pools_speak_to_redis_in_the_same_way(server: RedisServer) -> None:
    app = Celery("copy", broker=server.url, amqp=FleetMessaging, set_as_current=False)
    with (
        app.connection_for_read() as alone,
        app.connection_or_acquire() as pooled,
        app.producer_pool.acquire(block=True) as producer,
    ):
        for transport in (alone.transport, pooled.transport, producer.channel.connection):
            assert isinstance(transport, Transport)
    app.pool.force_close_all()


def test_a_letter_that_is_sent_wakes_its_reader(server: RedisServer, look: redis.Redis) -> None:
    with WorkerConnection(server.url) as connection:
        pool = ProducerPool(connection.Pool(1), limit=1)
        with pool.acquire(block=True) as producer:
            producer.publish("x", routing_key="letters")
        pool.force_close_all()
    assert look.zcard(wake_address("letters")) == 1
