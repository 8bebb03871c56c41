"""Checks of the broker: reachable, and its queues as the fleet wants them."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pika
import redis
from pika.exceptions import AMQPConnectionError, ChannelClosedByBroker

from fleet_contracts import topology
from fleet_contracts.topology import is_rabbitmq
from fleet_workers.broker.rabbitmq import connect
from fleet_workers.doctor.finding import Check, Finding, failed, ok, warning
from fleet_workers.settings import Settings

_PATIENCE_SECONDS = 4.0
_OLDEST = (3, 10)
_NOT_FOUND = 404
_SECRET = re.compile(r"(?<=//)[^/@]*@")

Wanted = tuple[str, dict[str, Any]]


def broker_check(settings: Settings, agents: Sequence[str]) -> Check:
    """The check of the broker that the settings name; `agents` are those with queues."""
    url = settings.broker_url
    look = _rabbitmq if is_rabbitmq(url) else _valkey
    return Check(
        group="broker",
        name="server",
        look=lambda: look(url, agents),
        remedy=f"Start it, or correct FLEET_BROKER_URL ({_SECRET.sub('', url)}).",
    )


def _rabbitmq(url: str, agents: Sequence[str]) -> Iterator[Finding]:
    try:
        connection = connect(url, timeout_seconds=_PATIENCE_SECONDS)
    except AMQPConnectionError as error:
        raise ConnectionError(f"RabbitMQ does not let us in: {error!r}") from error
    with connection:
        yield _version(connection)
        yield from (replace(each, name="queues") for each in _queues(connection, agents))


def _version(connection: pika.BlockingConnection) -> Finding:
    told = connection._impl.server_properties or {}  # noqa: SLF001 pika tells it nowhere else
    version = _text(told.get("version", "unknown"))
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if numbers < _OLDEST:
        return failed(
            f"RabbitMQ {version}: quorum queues there do not keep dead letters safely.",
            "Upgrade it to 3.10 or newer.",
        )
    return ok(f"RabbitMQ {version}.")


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _queues(connection: pika.BlockingConnection, agents: Sequence[str]) -> Iterator[Finding]:
    missing, sound = [], 0
    for name, arguments in _wanted(agents):
        found = _messages_in(connection, name)
        if found is None:
            missing.append(name)
            continue
        if fault := _differs(connection, name, arguments):
            yield failed(
                f"The queue {name} has other arguments than the fleet declares: {fault}",
                "Drain it, delete it, and start a pool or janitor, which makes it anew; or give "
                "the policy or program that made it the arguments of deploy/rabbitmq.",
            )
            continue
        sound += 1
        if name.endswith(".dead") and found:
            yield warning(
                f"{found} messages lie on {name}.",
                "A janitor takes those of agents in: is one running? Others are read by hand.",
            )
    if missing:
        yield warning(
            f"Not there yet: {', '.join(missing)}.",
            "They are made by the first pool of the agent, or by web and janitor.",
        )
    yield ok(f"{sound} queues are durable quorum queues as the fleet declares them.")


def _wanted(agents: Sequence[str]) -> Iterator[Wanted]:
    for agent in agents:
        yield topology.agent_address(agent), topology.agent_queue_arguments(agent)
        yield topology.dead_address(agent), topology.dead_queue_arguments()
    yield topology.REVIEW_QUEUE, topology.review_queue_arguments()
    yield topology.INTAKE_QUEUE, topology.intake_queue_arguments()
    yield topology.INTAKE_DEAD_QUEUE, topology.dead_queue_arguments()


def _messages_in(connection: pika.BlockingConnection, queue: str) -> int | None:
    channel = connection.channel()
    try:
        return int(channel.queue_declare(queue, passive=True).method.message_count)
    except ChannelClosedByBroker as error:
        if error.reply_code == _NOT_FOUND:
            return None
        raise
    finally:
        if channel.is_open:
            channel.close()


def _differs(connection: pika.BlockingConnection, queue: str, wanted: dict[str, Any]) -> str | None:
    """What RabbitMQ says against these arguments. The queue is there: declaring makes nothing."""
    channel = connection.channel()
    try:
        channel.queue_declare(queue, durable=True, arguments=wanted)
    except ChannelClosedByBroker as error:
        return str(error.reply_text)
    finally:
        if channel.is_open:
            channel.close()
    return None


def _valkey(url: str, _agents: Sequence[str]) -> Iterator[Finding]:
    client = redis.Redis.from_url(
        url, socket_timeout=_PATIENCE_SECONDS, socket_connect_timeout=_PATIENCE_SECONDS
    )
    with client:
        told: dict[str, Any] = client.info("server")
        version = told.get("valkey_version") or told.get("redis_version")
        yield ok(f"Valkey or Redis {version} as the broker.")
        if client.config_get("save").get("save") == "" and not _keeps_a_log(client):
            yield warning(
                "The broker keeps nothing on disk: a restart loses messages whose tasks have not "
                "reached the store.",
                "Turn on appendonly or save, or use RabbitMQ.",
            )


def _keeps_a_log(client: redis.Redis) -> bool:
    return client.config_get("appendonly").get("appendonly") == "yes"
