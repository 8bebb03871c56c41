"""The way to RabbitMQ's own dead-letter queues, over pika: they stand behind the fleet's own."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pika
from kombu import Connection
from pika.adapters.blocking_connection import BlockingChannel
from pika.adapters.utils.connection_workflow import AMQPConnectorException
from pika.exceptions import AMQPConnectionError, AMQPError, ChannelClosedByBroker

from fleet_contracts.errors import Unavailable

_NOT_FOUND = 404
_PATIENCE_SECONDS = 10.0  # of a person who asked


def connect(broker_url: str, *, timeout_seconds: float) -> pika.BlockingConnection:
    """Open a connection; of several addresses, separated by `;`, the first that answers.

    Raises:
        AMQPError, OSError: None of them answers; as pika and the system say it.
    """
    *others, last = broker_url.split(";")
    for url in others:
        try:
            return _open(url, timeout_seconds)
        except (AMQPError, OSError):
            continue
    return _open(last, timeout_seconds)


def _open(url: str, timeout_seconds: float) -> pika.BlockingConnection:
    try:
        return pika.BlockingConnection(_parameters(url, timeout_seconds))
    except AMQPConnectorException as error:  # a time-out, which is none of pika's own errors
        raise AMQPConnectionError(repr(error)) from error


@contextmanager
def connected(broker_url: str) -> Iterator[pika.BlockingConnection]:
    """A connection for a block; what goes wrong with the broker in it is `Unavailable`.

    Raises:
        Unavailable: The broker does not answer, or stops answering.
    """
    try:
        connection = connect(broker_url, timeout_seconds=_PATIENCE_SECONDS)
        try:
            yield connection
        finally:
            if connection.is_open:
                connection.close()
    except (AMQPError, OSError) as error:
        raise Unavailable(
            f"RabbitMQ does not answer ({error!r}): check FLEET_BROKER_URL."
        ) from error


def _parameters(url: str, timeout_seconds: float) -> pika.URLParameters:
    parameters = pika.URLParameters(url.replace("pyamqp", "amqp", 1))
    # pika reads `//`, Celery's way to name the virtual host `/`, as one without a name.
    parameters.virtual_host = Connection(url).virtual_host
    parameters.socket_timeout = timeout_seconds
    parameters.stack_timeout = timeout_seconds
    parameters.blocked_connection_timeout = timeout_seconds
    return parameters


def count_ready(connection: pika.BlockingConnection, queue: str) -> int | None:
    """Messages that wait in a queue, or None where there is no such queue."""
    channel: BlockingChannel = connection.channel()
    try:
        declared = channel.queue_declare(queue, passive=True)
    except ChannelClosedByBroker as error:
        if error.reply_code != _NOT_FOUND:
            raise
        return None
    ready = int(declared.method.message_count)
    channel.close()
    return ready


def death_of(headers: Mapping[str, Any] | None) -> tuple[str, int]:
    """Why RabbitMQ gave a message up, and how often: the newest entry of `x-death`.

    Source: RabbitMQ's documentation, "Dead Letter Exchanges". The `x-delivery-count` beside it
    is the dead-letter queue's own.
    """
    deaths = (headers or {}).get("x-death") or [{}]
    return str(deaths[0].get("reason", "unknown")), int(deaths[0].get("count", 0))
