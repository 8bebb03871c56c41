"""Consumes the intake on RabbitMQ: stored first, acknowledged then; what is no task is put aside.

A thread of its own with a connection of its own. Any number of janitors consume side by side.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Event, Thread
from typing import Any, Final
from uuid import uuid4

import pika
import structlog
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPError
from sqlalchemy import Engine

from fleet_contracts.errors import (
    Conflict,
    FleetError,
    InvalidEnvelope,
    TooEarly,
    Unauthorized,
    Unavailable,
    UnknownAgent,
    UnknownTenant,
)
from fleet_contracts.topology import (
    INTAKE_DEAD_QUEUE,
    INTAKE_QUEUE,
    dead_queue_arguments,
    intake_queue_arguments,
)
from fleet_workers.agents import AgentCatalogue
from fleet_workers.broker.rabbitmq import connect
from fleet_workers.intake.publishers import Publishers
from fleet_workers.intake.reading import IntakeMessage
from fleet_workers.intake.refusal import with_reason
from fleet_workers.intake.taking import Batch, IntakeDesk
from fleet_workers.store.engine import store_errors
from fleet_workers.store.outbox import Letter
from fleet_workers.telemetry.counting import count_refused

log = structlog.get_logger()

_BATCH: Final = 100
_PREFETCH: Final = 2 * _BATCH  # the next batch comes while one is stored
_LOOK_EVERY_SECONDS: Final = 0.5
_AWAY_SECONDS: Final = 2.0
_UNSETTLED_SECONDS: Final = 1.0
_TIMEOUT_SECONDS: Final = 10.0
_STOP_SECONDS: Final = 20.0
_REASONS: Final = (InvalidEnvelope, UnknownAgent, UnknownTenant, Conflict, Unauthorized)


@dataclass(frozen=True, slots=True)
class _Delivery:
    tag: int
    properties: pika.BasicProperties
    message: IntakeMessage


class IntakeCourier:
    """Takes in what comes until it is stopped; `send` takes letters after their commit."""

    def __init__(
        self,
        engine: Engine,
        broker_url: str,
        catalogue: AgentCatalogue,
        publishers: Publishers,
        *,
        send: Callable[[Sequence[Letter]], None],
    ) -> None:
        self._engine = engine
        self._broker_url = broker_url
        self._catalogue = catalogue
        self._publishers = publishers
        self._send = send
        self._stopped = Event()
        self._thread = Thread(target=self._run, name="intake", daemon=True)
        for reason in _REASONS:
            count_refused(reason.code, 0)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Take in until the block ends; what is not taken by then goes back to the queue."""
        self._thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                # Without a store messages would be taken and given back, which brokers count.
                with store_errors(), self._engine.connect():
                    pass
                self._consume()
            except Unavailable as error:
                log.warning("intake.store_unavailable", error=str(error))
            except (AMQPError, OSError) as error:
                log.warning("intake.broker_unavailable", error=repr(error))
            except Exception:
                log.exception("intake.broke")
            self._stopped.wait(_AWAY_SECONDS)

    def _consume(self) -> None:
        connection = connect(self._broker_url, timeout_seconds=_TIMEOUT_SECONDS)
        desk = IntakeDesk(self._engine, self._catalogue, self._publishers, session=uuid4())
        try:
            with ThreadPoolExecutor(1, thread_name_prefix="intake letters") as sender:
                session = _Session(connection, desk, self._send, sender)
                while not self._stopped.is_set():
                    session.work()
                session.settle()
        finally:
            with suppress(AMQPError, OSError):
                connection.close()


class _Session:
    """One connection. What it has not acknowledged when it ends comes again."""

    def __init__(
        self,
        connection: pika.BlockingConnection,
        desk: IntakeDesk,
        send: Callable[[Sequence[Letter]], None],
        sender: Executor,
    ) -> None:
        self._connection = connection
        self._desk = desk
        self._send = send
        self._waiting: list[_Delivery] = []
        self._rows: list[int] = []
        self._sender = sender
        self._sending: Future[None] | None = None
        self._dead: BlockingChannel = connection.channel()
        self._dead.confirm_delivery()
        self._channel: BlockingChannel = connection.channel()
        self._channel.queue_declare(
            INTAKE_DEAD_QUEUE, durable=True, arguments=dead_queue_arguments()
        )
        self._channel.queue_declare(INTAKE_QUEUE, durable=True, arguments=intake_queue_arguments())
        self._channel.basic_qos(prefetch_count=_PREFETCH)
        self._channel.basic_consume(INTAKE_QUEUE, self._note)

    def work(self) -> None:
        """Take in what has come.

        Raises:
            Unavailable: The store is away.
            AMQPError, OSError: The broker is.
        """
        self._connection.process_data_events(0 if self._waiting else _LOOK_EVERY_SECONDS)
        if not self._waiting:
            self.settle()
            return
        batch, self._waiting = self._waiting[:_BATCH], self._waiting[_BATCH:]
        begun = time.monotonic()
        taken = self._take(batch)
        for place, error in taken.refusals.items():
            self._put_aside(batch[place], error)
        self._channel.basic_ack(batch[-1].tag, multiple=True)
        self._rows += taken.rows
        self._send_beside(taken.letters)
        if len(self._rows) > _PREFETCH:
            self.settle()
        log.info(
            "intake.taken",
            messages=len(batch),
            new=len(taken.letters),
            refused=len(taken.refusals),
            seconds=round(time.monotonic() - begun, 3),
        )

    def _take(self, batch: Sequence[_Delivery]) -> Batch:
        while True:
            try:
                return self._desk.take([each.message for each in batch])
            except TooEarly:
                self._connection.sleep(_UNSETTLED_SECONDS)  # and answer the broker's heartbeats

    def _send_beside(self, letters: Sequence[Letter]) -> None:
        """Send the letters of a batch while the next one is stored."""
        if self._sending is not None:
            self._sending.result()
        self._sending = self._sender.submit(self._send, letters) if letters else None

    def settle(self) -> None:
        """Forget what the broker cannot deliver again: it has read the acknowledgements."""
        if self._rows:
            self._channel.queue_declare(INTAKE_QUEUE, passive=True)
            self._desk.forget(self._rows)
            self._rows.clear()

    def _note(
        self,
        _channel: BlockingChannel,
        method: Any,
        properties: pika.BasicProperties,
        body: bytes,
    ) -> None:
        message = IntakeMessage(
            body=body,
            is_redelivered=method.redelivered,
            headers=properties.headers or {},
            message_id=properties.message_id,
            correlation_id=properties.correlation_id,
            reply_to=properties.reply_to,
            user_id=properties.user_id,
            content_encoding=properties.content_encoding,
        )
        self._waiting.append(_Delivery(method.delivery_tag, properties, message))

    def _put_aside(self, delivery: _Delivery, error: FleetError) -> None:
        """Put a message on the dead-letter queue as it came, with the reason; confirmed."""
        self._dead.basic_publish(
            "",
            INTAKE_DEAD_QUEUE,
            delivery.message.body,
            with_reason(delivery.properties, error),
            mandatory=True,
        )
        count_refused(error.code)
        log.warning("intake.refused", reason=error.code, error=str(error))
