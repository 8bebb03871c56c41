"""The client over real brokers, on throwaway queues that the tests delete again."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from kombu import Connection, Exchange, Queue

from fleet_client import FleetClient
from fleet_contracts import errors
from fleet_contracts.envelope import TaskEnvelope, parse_envelope
from fleet_contracts.topology import AGENTS_EXCHANGE, agent_address, agent_queue_arguments
from support.servers import RABBITMQ, REDIS, need
from support.tcp_proxy import TcpProxy

_URLS = {"RabbitMQ": RABBITMQ, "Redis": f"{REDIS}/9"}


@pytest.fixture(params=_URLS, ids=str.lower)
def broker_url(request: pytest.FixtureRequest) -> str:
    need(request.param)
    return _URLS[request.param]


@pytest.fixture
def rabbitmq() -> str:
    need("RabbitMQ")
    return _URLS["RabbitMQ"]


def _port(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


@contextmanager
def _queue_of(url: str, agent: str, **arguments: Any) -> Iterator[Any]:
    """An agent's queue as a worker declares it, gone afterwards."""
    address = agent_address(agent)
    quorum = {**agent_queue_arguments(agent), **arguments} if url.startswith("amqp") else None
    exchange = Exchange(AGENTS_EXCHANGE, type="topic", durable=True)
    with Connection(url) as connection:
        queue = Queue(address, exchange, address, queue_arguments=quorum)(connection)
        queue.declare()
        try:
            yield queue
        finally:
            queue.delete()


def _read(queue: Any, count: int, *, seconds: float = 10) -> list[TaskEnvelope]:
    """Take messages off the queue; a quorum queue shows them a moment after the confirm."""
    found: list[TaskEnvelope] = []
    end = time.monotonic() + seconds
    while len(found) < count and time.monotonic() < end:
        message = queue.get(no_ack=True)
        if message is None:
            time.sleep(0.02)
            continue
        arguments, _, _ = json.loads(message.body)
        found.append(parse_envelope(arguments[0]))
        assert message.headers["task"] == agent_address(found[-1].agent)
    return found


def _agent() -> str:
    return f"zz_client_test_{uuid4().hex[:12]}"


def test_a_task_lies_on_its_agents_queue(broker_url: str) -> None:
    agent = _agent()
    with _queue_of(broker_url, agent) as queue, FleetClient(broker_url, tenant="acme") as client:
        handle = client.submit("Zażółć 🎉", agent=agent, customer="c1", idempotency_key="k")
        (envelope,) = _read(queue, 1)
        assert envelope.id == handle.id
        assert (envelope.input, envelope.tenant, envelope.customer) == ("Zażółć 🎉", "acme", "c1")
        assert client.submit("Zażółć 🎉", agent=agent, idempotency_key="k").id == handle.id


def test_a_task_that_no_queue_takes_is_an_error_and_harms_no_later_one(broker_url: str) -> None:
    agent = _agent()
    with FleetClient(broker_url, tenant="acme") as client, _queue_of(broker_url, agent) as queue:
        for _ in range(3):
            with pytest.raises(errors.UnknownAgent, match="fleetctl worker zz_nobody"):
                client.submit("x", agent="zz_nobody")
            client.submit("x", agent=agent)
        assert len(_read(queue, 3)) == 3


def test_a_bulk_returns_errors_by_item(broker_url: str) -> None:
    agent = _agent()
    with FleetClient(broker_url, tenant="acme") as client, _queue_of(broker_url, agent) as queue:
        results = client.submit_many(
            [
                {"text": "one", "agent": agent},
                {"text": "x", "agent": "zz_nobody"},
                {"text": ""},
                {"text": "two", "agent": agent},
            ]
        )
        assert [result.ok for result in results] == [True, False, False, True]
        assert isinstance(results[1].error, errors.UnknownAgent)
        assert [envelope.input for envelope in _read(queue, 2)] == ["one", "two"]


def test_many_threads_share_one_client(broker_url: str) -> None:
    agent = _agent()
    failures: list[BaseException] = []

    def work(client: FleetClient) -> None:
        try:
            for number in range(20):
                client.submit(f"{number}", agent=agent)
                with pytest.raises(errors.UnknownAgent):
                    client.submit("x", agent="zz_nobody")
        except BaseException as error:  # noqa: BLE001 - the test reports it
            failures.append(error)

    with FleetClient(broker_url, tenant="acme") as client, _queue_of(broker_url, agent) as queue:
        threads = [threading.Thread(target=work, args=(client,)) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        assert len({envelope.id for envelope in _read(queue, 240)}) == 240


def test_a_connection_cut_between_two_publishes_is_made_again(broker_url: str) -> None:
    port = _port(broker_url)
    agent = _agent()
    with TcpProxy(port) as proxy, _queue_of(broker_url, agent) as queue:
        url = broker_url.replace(str(port), str(proxy.port))
        with FleetClient(url, tenant="acme") as client:
            first = client.submit("first", agent=agent)
            before = proxy.connections
            proxy.cut()
            second = client.submit("second", agent=agent)
            assert proxy.connections > before
            # A message taken before the cut may come twice, under one id.
            assert {one.id for one in _read(queue, 2)} == {first.id, second.id}


def test_a_broker_that_stays_away_is_unavailable_and_one_that_returns_is_used(
    rabbitmq: str,
) -> None:
    agent = _agent()
    with _queue_of(rabbitmq, agent) as queue:
        port = _port(rabbitmq)
        with TcpProxy(port) as proxy:
            url = rabbitmq.replace(str(port), str(proxy.port))
            client = FleetClient(url, tenant="acme", timeout=2)
            client.submit("x", agent=agent)
        with client, pytest.raises(errors.Unavailable, match=str(proxy.port)):
            client.submit("x", agent=agent)
        assert len(_read(queue, 1)) == 1


def test_a_full_queue_refuses_and_says_so(rabbitmq: str) -> None:
    agent = _agent()
    with (
        _queue_of(rabbitmq, agent, **{"x-max-length": 1}),
        FleetClient(rabbitmq, tenant="acme") as client,
    ):
        results = client.submit_many({"text": "x", "agent": agent} for _ in range(50))
        assert results[0].ok
        assert isinstance(results[-1].error, errors.Unavailable)
        assert "is full" in str(results[-1].error)


@pytest.mark.parametrize("scheme", ["amqp", "redis"])
def test_a_refused_connection_names_the_address_without_the_password(scheme: str) -> None:
    with FleetClient(f"{scheme}://user:hunter2@127.0.0.1:1/0", tenant="acme") as client:
        with pytest.raises(errors.Unavailable, match=r"127\.0\.0\.1:1") as caught:
            client.submit("x")
        assert "hunter2" not in str(caught.value)


def test_a_wrong_password_is_unauthorized(rabbitmq: str) -> None:
    url = rabbitmq.replace("guest:guest", "guest:hunter2")
    with FleetClient(url, tenant="acme") as client:
        with pytest.raises(errors.Unauthorized, match="check user, password") as caught:
            client.submit("x")
        assert "hunter2" not in str(caught.value)


def test_an_outage_in_a_bulk_is_not_waited_for_once_an_item() -> None:
    with FleetClient("amqp://guest:guest@127.0.0.1:1//", tenant="acme") as client:
        began = time.monotonic()
        results = client.submit_many(f"task {number}" for number in range(200))
        assert not any(result.ok for result in results)
        assert time.monotonic() - began < 5


@pytest.mark.parametrize("url", ["carrier-pigeon://x", "amqp://h:port/", "no address"])
def test_a_url_that_is_none_is_a_configuration_error(url: str) -> None:
    with pytest.raises(errors.ConfigurationError, match="redis://host"):
        FleetClient(url, tenant="acme").submit("x")


def test_a_broker_alone_needs_a_tenant_and_follows_nothing() -> None:
    with FleetClient("amqp://127.0.0.1:1") as client:
        with pytest.raises(errors.ConfigurationError, match="FLEET_TENANT"):
            client.submit("x")
        with pytest.raises(errors.ConfigurationError, match="FLEET_API_URL"):
            client.wait(uuid4())


def test_a_closed_client_says_so() -> None:
    client = FleetClient("amqp://127.0.0.1:1", tenant="acme")
    with pytest.raises(errors.Unavailable):
        client.submit("x")
    client.close()
    with pytest.raises(errors.ConfigurationError, match="closed"):
        client.submit("x")


def test_a_library_that_is_missing_is_named() -> None:
    program = (
        "import sys; sys.modules['redis'] = None; from fleet_client import FleetClient; "
        "FleetClient('redis://127.0.0.1:1/0', tenant='acme').submit('x', agent='a')"
    )
    done = subprocess.run(
        (sys.executable, "-c", program), capture_output=True, text=True, check=False, timeout=60
    )
    assert "ConfigurationError" in done.stderr
    assert 'pip install "agent-fleet-client[redis]"' in done.stderr
