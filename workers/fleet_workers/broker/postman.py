"""Sends letters of the outbox with confirms, and takes them out once the broker has them."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

import structlog
from kombu import Queue
from kombu.pools import ProducerPool
from sqlalchemy import Engine

from fleet_contracts.errors import Unavailable
from fleet_contracts.topology import AGENTS_EXCHANGE, REVIEW_QUEUE, is_rabbitmq
from fleet_workers.broker.connection import WorkerConnection
from fleet_workers.broker.queues import agent_queue, dead_queue, review_queue
from fleet_workers.store import outbox
from fleet_workers.store.engine import store_errors
from fleet_workers.store.outbox import Letter
from fleet_workers.telemetry.meters import LETTERS

log = structlog.get_logger()

_CONNECTIONS = 10
_CONFIRM_SECONDS = 10
_FIRST_WAIT = timedelta(seconds=2)
_LONGEST_WAIT = timedelta(seconds=60)


class Postman:
    """One a process; safe to use from every slot."""

    def __init__(self, engine: Engine, broker_url: str) -> None:
        self._engine = engine
        self._connection = WorkerConnection(
            broker_url, connect_timeout=5, transport_options=_transport_options(broker_url)
        )
        self._connections = self._connection.Pool(_CONNECTIONS)
        self._producers = ProducerPool(self._connections, limit=_CONNECTIONS)

    def declare(self, agents: Iterable[str]) -> None:
        """Make sure that the queues of these agents, and the one for people, exist."""
        with self._connection.clone() as connection:
            channel: Any = connection.default_channel
            for agent in agents:
                agent_queue(agent)(channel).declare()
                dead_queue(agent)(channel).declare()
            review_queue()(channel).declare()

    def count_messages(self, agent: str) -> int:
        """Messages that wait in an agent's queue; those that workers hold are not counted.

        Raises:
            Unavailable: The broker is away.
        """
        try:
            with self._producers.acquire(block=True, timeout=_CONFIRM_SECONDS) as producer:
                channel: Any = producer.channel
                queue: Any = agent_queue(agent)(channel)
                return int(queue.queue_declare(passive=False).message_count)
        except Exception as error:
            raise Unavailable(f"The broker does not tell about its queues: {error}") from error

    def send(self, letters: Sequence[Letter]) -> None:
        """Send letters whose transaction has committed. Never raises: what fails stays waiting."""
        sent: list[int] = []
        for letter in letters:
            try:
                self._publish(letter)
            except Exception as error:  # noqa: BLE001 whatever the broker's client raises, the letter stays
                LETTERS.labels("failed").inc()
                self._keep(letter, error)
            else:
                LETTERS.labels("sent").inc()
                sent.append(letter.id)
        if sent:
            try:
                with store_errors(), self._engine.begin() as connection:
                    outbox.mark_sent(connection, sent)
            except Unavailable as error:
                log.warning("outbox.not_marked", letters=len(sent), error=str(error))

    def close(self) -> None:
        """Close all connections."""
        self._producers.force_close_all()  # type: ignore[attr-defined] # kombu-stubs lack it
        self._connections.force_close_all()
        self._connection.release()

    def _publish(self, letter: Letter) -> None:
        message = letter.message
        with self._producers.acquire(block=True, timeout=_CONFIRM_SECONDS) as producer:
            producer.publish(
                message.body,
                exchange=letter.exchange,
                routing_key=message.routing_key,
                headers=message.headers,
                declare=_needed_queues(letter),
                retry=True,
                retry_policy={"max_retries": 1, "interval_start": 0.1},
                timeout=_CONFIRM_SECONDS,
                confirm_timeout=_CONFIRM_SECONDS,
                **message.properties,
            )

    def _keep(self, letter: Letter, error: Exception) -> None:
        log.warning("outbox.not_sent", routing_key=letter.message.routing_key, error=str(error))
        wait = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** min(letter.tries, 10))
        try:
            with store_errors(), self._engine.begin() as connection:
                outbox.mark_failed(connection, letter, error=str(error), wait=wait)
        except Unavailable:
            log.warning("outbox.not_marked", letters=1)


def _needed_queues(letter: Letter) -> list[Queue]:
    """Declared with the first message over a connection, so that no letter is unroutable."""
    if letter.exchange == AGENTS_EXCHANGE:
        return [agent_queue(letter.message.routing_key.removeprefix("agent."))]
    if letter.message.routing_key == REVIEW_QUEUE:
        return [review_queue()]
    return []


def _transport_options(broker_url: str) -> dict[str, Any]:
    if is_rabbitmq(broker_url):
        return {"confirm_publish": True}
    return {"socket_timeout": _CONFIRM_SECONDS, "socket_connect_timeout": 5}
