"""The Celery side of a worker: thin tasks, and a consumer that loses no message it cannot read."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import structlog
from celery import Celery
from celery.exceptions import Reject
from celery.worker.consumer import Consumer
from kombu.message import Message

from fleet_contracts.codec import STORED_HEADER, SUBMITTED_HEADER, TRACE_HEADER
from fleet_contracts.errors import FleetError, InvalidEnvelope, Unavailable, UnknownAgent
from fleet_contracts.topology import agent_address
from fleet_workers.controller.reception import Delivery
from fleet_workers.controller.slots import Slots
from fleet_workers.wiring import WorkerParts

log = structlog.get_logger()

_STORE_WAIT_SECONDS = 2.0
_MOST_SET_ASIDE = 100  # messages beyond the slots that a process asks for: one statement's worth


def register_tasks(app: Celery, parts: WorkerParts, slots: Slots, agents: tuple[str, ...]) -> None:
    """Give the application a task for each agent, named as its queue."""

    def deliver(request: Any, *args: Any, **kwargs: Any) -> None:
        delivery = Delivery(
            payload=args[0] if len(args) == 1 and not kwargs else {"args": args, "kwargs": kwargs},
            queue=request.delivery_info.get("routing_key", ""),
            traceparent=_header(request, TRACE_HEADER),
            stored=bool(_header(request, STORED_HEADER)),
            submitted_at=_time(_header(request, SUBMITTED_HEADER)),
        )
        until_stored(parts, lambda: slots.deliver(delivery))

    for agent in agents:

        @app.task(name=agent_address(agent), bind=True, typing=False)
        def run(task: Any, *args: Any, **kwargs: Any) -> None:
            deliver(task.request, *args, **kwargs)


def _header(request: Any, name: str) -> Any:
    """A header of ours: Celery puts those it does not know in one of two places."""
    return (request.headers or {}).get(name) or request.get(name)


def _time(text: object) -> datetime | None:
    """A producer's time, where it is one: it only orders the tasks of a session."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo else None


def until_stored(parts: WorkerParts, write: Any) -> None:
    """Repeat while the store is away: a message given back would use up its deliveries.

    Raises:
        Reject: The worker is being stopped; the broker keeps the message.
    """
    while True:
        try:
            write()
        except Unavailable as error:
            log.warning("store.unavailable", error=str(error))
            if parts.draining.wait(_STORE_WAIT_SECONDS):
                raise Reject(str(error), requeue=True) from error
        else:
            return


SetAside = Callable[[Delivery, Callable[[], None]], None]
"""Takes a message in without a slot, and calls what it is given once the message may go."""


class FleetConsumer(Consumer):
    """Celery's consumer, with every message that it would drop put among the dead letters.

    Messages that find no slot free do not wait for one in Celery's pool: they are set aside.
    """

    parts: WorkerParts
    slots: Slots
    set_aside: SetAside

    # What is used of Celery's consumer and its type stubs leave out.
    initial_prefetch_count: int
    strategies: dict[str, Any]
    connection_errors: tuple[type[Exception], ...]
    controller: Any
    call_soon_ack: Callable[..., object]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial_prefetch_count += _MOST_SET_ASIDE

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Any:
        """Celery's handler, made to outlive messages of any shape."""
        handle = super().create_task_handler(*args, **kwargs)

        def handle_anything(message: Message) -> Any:
            try:
                return None if self._takes_in(message) else handle(message)
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                return self.bury(message, InvalidEnvelope(f"Not a task message: {error!r}."))

        return handle_anything

    def _takes_in(self, message: Message) -> bool:
        """Set a message aside for which no slot is free; tells whether it was."""
        delivery = self._plain_delivery(message)
        if delivery is None or self.slots.expect(delivery.payload["tenant"]):  # type: ignore[index] # checked there
            return False

        def acknowledge() -> None:
            self.call_soon_ack(message.ack_log_error, log, self.connection_errors)

        self.set_aside(delivery, acknowledge)
        return True

    def _plain_delivery(self, message: Message) -> Delivery | None:
        """What a message brings. None where Celery has to look at it first, or none of ours."""
        headers = message.headers or {}
        timed = headers.get("eta") or headers.get("expires")
        if headers.get("task") not in self.strategies or timed:
            return None
        if headers.get("id") in self.controller.state.revoked:
            return None
        try:
            (payload,), kwargs, _ = message.payload
        except Exception:  # noqa: BLE001 Celery's own handler says what is wrong with it
            return None
        if kwargs or not isinstance(payload, dict) or not isinstance(payload.get("tenant"), str):
            return None
        return Delivery(
            payload=payload,
            queue=(message.delivery_info or {}).get("routing_key", ""),
            traceparent=headers.get(TRACE_HEADER),
            stored=bool(headers.get(STORED_HEADER)),
            submitted_at=_time(headers.get(SUBMITTED_HEADER)),
        )

    def connection_for_write(self, url: str | None = None, heartbeat: float | None = None) -> Any:
        """The connection for task events, without confirms.

        The main thread reads this connection for its heartbeats, and slots send events over it: a
        slot that waited for a confirm would read beside the main thread, and one of them would
        wait for ever. An event that is lost costs a line in Flower.
        """
        connection = self.app.connection_for_write(url=url, heartbeat=heartbeat)
        options = connection.transport_options or {}
        connection.transport_options = {**options, "confirm_publish": False}
        return self.ensure_connected(connection)

    def on_unknown_message(self, body: Any, message: Message) -> None:  # noqa: ARG002 celery's signature
        """A message without the headers of a task."""
        text = "Not a task message: it lacks the headers of Celery's protocol."
        self.bury(message, InvalidEnvelope(text))

    def on_unknown_task(self, body: Any, message: Message, exc: Exception) -> None:  # noqa: ARG002 as above
        """A task that this pool does not have."""
        name = message.headers.get("task") if message.headers else None
        self.bury(message, UnknownAgent(f"This pool does not serve {name!r}."))

    def on_invalid_task(self, body: Any, message: Message, exc: Exception) -> None:  # noqa: ARG002 as above
        """A task with a header or content type that Celery does not accept."""
        self.bury(message, InvalidEnvelope(f"Not a task message: {exc}."))

    def on_decode_error(self, message: Message, exc: Exception) -> None:
        """A body that is not what its content type says."""
        self.bury(message, InvalidEnvelope(f"The message cannot be decoded: {exc}."))

    def bury(self, message: Message, error: FleetError) -> None:
        """Store a message as a dead letter, then let the broker forget it."""
        body = message.body
        text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body)
        queue = (message.delivery_info or {}).get("routing_key", "")
        executor = self.parts.executor
        try:
            until_stored(self.parts, lambda: executor.reception.bury(text, error, queue=queue))
        except Reject:
            message.requeue()
        else:
            message.ack()


def consumer_class(parts: WorkerParts, slots: Slots, set_aside: SetAside) -> type[Consumer]:
    """The consumer of one worker process."""
    bound = {"parts": parts, "slots": slots, "set_aside": staticmethod(set_aside)}
    return type("BoundFleetConsumer", (FleetConsumer,), bound)
