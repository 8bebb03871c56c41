"""Publishes changes of tasks as CloudEvents on RabbitMQ: in their order, confirmed, at least once.

A thread of its own with a connection of its own: a broker that hangs holds up no other chore. Of
all janitors one publishes at a time. It notes how far it came after the confirms: after a crash
the last of them come again under the same ids.
"""

import time
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from threading import Event, Thread
from typing import Final

import pika
import structlog
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPError
from sqlalchemy import Connection, Engine

from fleet_contracts.codec import TRACE_HEADER, valid_traceparent
from fleet_contracts.errors import Unavailable
from fleet_contracts.events import EVENTS_CONTENT_TYPE, TaskCloudEvent
from fleet_contracts.topology import EVENTS_EXCHANGE, event_address, is_rabbitmq
from fleet_workers.broker.rabbitmq import connect
from fleet_workers.settings import Settings
from fleet_workers.store import task_events, views
from fleet_workers.store.engine import store_errors
from fleet_workers.store.task_events import Placed

log = structlog.get_logger()

READER: Final = "exchange"
"""The name of the publisher's mark."""
_BATCH: Final = 200
_LOAN: Final = timedelta(seconds=20)
_LONGEST_ROUND_SECONDS: Final = 5.0
"""After that no other event is begun, which takes 10 s at most: the loan covers both."""
_TIMEOUT_SECONDS: Final = 10.0
_LOOK_EVERY_SECONDS: Final = 0.25
_AWAY_SECONDS: Final = 2.0
_MAX_AGE: Final = timedelta(days=1)
_STOP_SECONDS: Final = 15.0


class EventPublisher:
    """Publishes what comes to `states`; with `with_task` each event holds the whole task.

    What happened while nobody published is published later, up to a day.
    """

    def __init__(
        self, engine: Engine, broker_url: str, *, states: Collection[str], with_task: bool
    ) -> None:
        self._engine = engine
        self._broker_url = broker_url
        self._states = frozenset(states)
        self._with_task = with_task
        self._connection: pika.BlockingConnection | None = None
        self._channel: BlockingChannel | None = None
        self._stopped = Event()
        self._thread = Thread(target=self._run, name="events", daemon=True)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Publish until the block ends."""
        self._thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                pause_seconds = self.publish_next()
            except Unavailable as error:
                log.warning("events.store_unavailable", error=str(error))
                pause_seconds = _AWAY_SECONDS
            except Exception:
                log.exception("events.broke")
                self.close()
                pause_seconds = _AWAY_SECONDS
            self._stopped.wait(pause_seconds)
        self.close()

    def publish_next(self) -> float:
        """Publish what comes next; gives the seconds until the next look.

        Raises:
            Unavailable: The store is away. What was published meanwhile is published again.
        """
        with store_errors(), self._engine.begin() as connection:
            is_behind = task_events.is_behind(connection, READER)
            mark = task_events.borrow_mark(connection, READER, loan=_LOAN) if is_behind else None
        if mark is None:
            return self._stand_by()
        moved_to, pause_seconds = mark, 0.0
        try:
            with store_errors(), self._engine.begin() as connection:
                found = self._found(connection, mark)
            ends_at = time.monotonic() + _LONGEST_ROUND_SECONDS
            for place, event in found:
                if self._stopped.is_set() or time.monotonic() > ends_at:
                    break
                if event is not None:
                    self._publish(event)
                moved_to = place
        except (AMQPError, OSError) as error:
            log.warning("events.broker_unavailable", error=repr(error))
            self.close()
            pause_seconds = _AWAY_SECONDS
        finally:
            with store_errors(), self._engine.begin() as connection:
                task_events.return_mark(connection, READER, taken=mark, moved_to=moved_to)
        return pause_seconds

    def _stand_by(self) -> float:
        """Have the exchange there to be bound, and answer the broker's heartbeats."""
        try:
            self._opened().connection.process_data_events(0)
        except (AMQPError, OSError) as error:
            log.warning("events.broker_unavailable", error=repr(error))
            self.close()
            return _AWAY_SECONDS
        return _LOOK_EVERY_SECONDS

    def _found(self, connection: Connection, mark: int) -> list[tuple[int, TaskCloudEvent | None]]:
        """What stands behind the mark, with its places; None for what nobody is told."""
        since = datetime.now(UTC) - _MAX_AGE
        found: list[tuple[int, TaskCloudEvent | None]] = []
        for each in task_events.placed_after(connection, mark, tenant=None, limit=_BATCH):
            is_told = each.change.state in self._states and each.change.at > since
            found.append((each.place, self._event(connection, each) if is_told else None))
        return found

    def _event(self, connection: Connection, placed: Placed) -> TaskCloudEvent:
        change = placed.change
        if self._with_task:
            view = views.view(connection, change.task_id, tenant=None)
            change = change.model_copy(update={"task": view})
        return TaskCloudEvent.of(change, traceparent=valid_traceparent(placed.traceparent))

    def _publish(self, event: TaskCloudEvent) -> None:
        change = event.data
        self._opened().basic_publish(
            EVENTS_EXCHANGE,
            event_address(change.tenant, change.agent, change.state),
            event.model_dump_json().encode(),
            pika.BasicProperties(
                content_type=EVENTS_CONTENT_TYPE,
                delivery_mode=pika.DeliveryMode.Persistent.value,
                message_id=event.id,
                type=event.type,
                timestamp=int(event.time.timestamp()),
                headers={TRACE_HEADER: event.traceparent} if event.traceparent else None,
            ),
        )

    def _opened(self) -> BlockingChannel:
        if self._channel is None or not self._channel.is_open:
            self.close()
            self._connection = connect(self._broker_url, timeout_seconds=_TIMEOUT_SECONDS)
            channel: BlockingChannel = self._connection.channel()
            channel.exchange_declare(EVENTS_EXCHANGE, "topic", durable=True)
            channel.confirm_delivery()
            self._channel = channel
        return self._channel

    def close(self) -> None:
        """Close the connection; the next event opens another."""
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None and connection.is_open:
            try:
                connection.close()
            except (AMQPError, OSError) as error:
                log.info("events.not_closed", error=repr(error))


def events_at_work(settings: Settings, engine: Engine) -> AbstractContextManager[None]:
    """Publish events until the block ends: on RabbitMQ, where `FLEET_EVENTS` names a state."""
    if not settings.events or not is_rabbitmq(settings.broker_url):
        return nullcontext()
    publisher = EventPublisher(
        engine,
        settings.broker_url,
        states=settings.events,
        with_task=settings.event_content == "full",
    )
    return publisher.at_work()
