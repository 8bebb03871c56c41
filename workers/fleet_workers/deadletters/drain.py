"""Takes into the store what RabbitMQ gave up, so that nothing lies where nobody looks."""

from collections.abc import Callable, Sequence
from typing import Any

import pika
import structlog
from pika.exceptions import AMQPError
from sqlalchemy import Connection, Engine

from fleet_contracts.codec import TRACE_HEADER
from fleet_contracts.envelope import AUTO_AGENT
from fleet_contracts.errors import InvalidEnvelope, InvalidInput
from fleet_contracts.topology import dead_address, is_rabbitmq
from fleet_workers.agents import AgentCatalogue
from fleet_workers.broker.rabbitmq import connect, count_ready, death_of
from fleet_workers.deadletters.message import read_message
from fleet_workers.store import accounts, dead_letters, outbox, revival
from fleet_workers.store.engine import store_errors
from fleet_workers.store.outbox import Letter

log = structlog.get_logger()

UNREADABLE = "delivery_limit"
"""Reason of a message that RabbitMQ gave up and nobody can read."""

_CONNECT_SECONDS = 2.0  # a broker that hangs must not keep the janitor from its other chores
_MESSAGES_A_ROUND = 200  # a queue; then other chores have their turn


class DeadQueueDrain:
    """Empties the agents' dead-letter queues on RabbitMQ; used by one thread.

    It keeps one connection open: with empty queues a round is one question for each agent.
    """

    def __init__(
        self,
        *,
        broker_url: str,
        engine: Engine,
        catalogue: AgentCatalogue,
        send: Callable[[Sequence[Letter]], None],
    ) -> None:
        self._broker_url = broker_url
        self._engine = engine
        self._catalogue = catalogue
        self._send = send
        self._connection: pika.BlockingConnection | None = None

    def drain(self) -> int:
        """Take in what lies there; gives the number of messages. 0 where the broker is away.

        A task that the store does not know is queued, to run in a process of its own. One that it
        knows is in the store's hands already. What cannot be read, or belongs nowhere, becomes a
        dead letter. A message is acknowledged after the commit.

        Raises:
            Unavailable: The store is away; the messages go back to their queue.
        """
        if not is_rabbitmq(self._broker_url):
            return 0
        taken = 0
        try:
            for agent in (*self._catalogue.names, AUTO_AGENT):
                taken += self._drain_queue(dead_address(agent))
        except (AMQPError, OSError) as error:
            log.warning("drain.broker_unavailable", error=repr(error))
            self.close()
        except Exception:
            self.close()  # what is not acknowledged goes back
            raise
        return taken

    def close(self) -> None:
        """Close the connection; the next round opens another."""
        connection, self._connection = self._connection, None
        if connection is not None and connection.is_open:
            try:
                connection.close()
            except (AMQPError, OSError) as error:
                log.info("drain.not_closed", error=repr(error))

    def _drain_queue(self, queue: str) -> int:
        connection = self._open()
        waiting = count_ready(connection, queue)
        if not waiting:
            return 0
        # Giving a message back counts as a delivery, and brokers drop what comes too often.
        with store_errors(), self._engine.connect():
            channel = connection.channel()
        taken = 0
        while taken < min(waiting, _MESSAGES_A_ROUND):
            method, properties, body = channel.basic_get(queue)
            if method is None:
                break
            self._take_in(queue, properties.headers or {}, body)
            channel.basic_ack(method.delivery_tag)
            taken += 1
        channel.close()
        return taken

    def _open(self) -> pika.BlockingConnection:
        if self._connection is None or not self._connection.is_open:
            self._connection = connect(self._broker_url, timeout_seconds=_CONNECT_SECONDS)
        return self._connection

    def _take_in(self, queue: str, headers: dict[str, Any], body: bytes) -> None:
        traceparent = headers.get(TRACE_HEADER)
        try:
            with store_errors(), self._engine.begin() as connection:
                wake_ups = self._accept(connection, body, traceparent)
        except InvalidInput as error:
            self._bury(error, queue, headers, body)
        else:
            self._send(wake_ups)
            log.warning("drain.taken_in", queue=queue, new=bool(wake_ups))

    def _accept(self, connection: Connection, body: bytes, traceparent: str | None) -> list[Letter]:
        envelope = read_message(body)
        if envelope.agent != AUTO_AGENT:
            self._catalogue.get(envelope.agent)
        accounts.require_tenant(connection, envelope.tenant)
        if not revival.accept_suspect(connection, envelope, traceparent=traceparent):
            return []
        return outbox.wake(connection, [envelope.id])

    def _bury(self, error: InvalidInput, queue: str, headers: dict[str, Any], body: bytes) -> None:
        reason, times = death_of(headers)
        with store_errors(), self._engine.begin() as connection:
            dead_letters.add(
                connection,
                reason=UNREADABLE if isinstance(error, InvalidEnvelope) else error.code,
                error=f"RabbitMQ gave this message up ({reason}, {times} times). {error}",
                body=body.decode("utf-8", "replace"),
                queue=queue,
                traceparent=headers.get(TRACE_HEADER),
            )
        log.warning("message.dead", reason=error.code, error=str(error), queue=queue)
