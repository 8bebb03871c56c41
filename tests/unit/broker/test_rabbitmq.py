"""A broker that takes the connection and says nothing is away, in pika's own words for it."""

import socket

import pytest
from pika.exceptions import AMQPConnectionError

from fleet_workers.broker.rabbitmq import connect


def test_a_silent_broker_is_a_connection_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"amqp://guest:guest@127.0.0.1:{server.getsockname()[1]}/"
        with pytest.raises(AMQPConnectionError, match="Timeout"):
            connect(f"{url};{url}", timeout_seconds=0.3)
