"""Publishes tasks to the broker: pooled connections, one repeat after a broken one."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Empty, LifoQueue

from fleet_client.broker_link import BrokerLink
from fleet_client.steps import ConnectionBroken
from fleet_client.tracing import sending
from fleet_contracts.codec import WireMessage, encode_task
from fleet_contracts.envelope import TaskEnvelope
from fleet_contracts.errors import ConfigurationError, TimedOut

_CONNECTIONS = 10  # one carries about 1,100 confirmed messages a second on a busy two-core machine


@dataclass(slots=True)
class _Place:
    """Room for one connection in the pool; empty until it is needed."""

    link: BrokerLink | None = None

    def clear(self) -> None:
        if self.link is not None:
            self.link.drop()
            self.link = None


class BrokerSender:
    """Up to ten connections to one broker; safe for threads. Make it after a fork, not before.

    A publish that fails with its connection is repeated once over a new one. It may have been
    taken the first time, which is harmless, because the repeat carries the same task id.
    """

    def __init__(self, url: str, *, timeout_seconds: float) -> None:
        self._url = url
        self._timeout_seconds = timeout_seconds
        self._closed = threading.Event()
        self._places: LifoQueue[_Place] = LifoQueue()
        for _ in range(_CONNECTIONS):
            self._places.put(_Place())

    def publish(self, envelope: TaskEnvelope) -> None:
        """Put the task on its agent's queue and wait for the broker's confirm.

        Raises:
            UnknownAgent: No queue takes tasks for the agent.
            Unavailable: The broker cannot be reached, or refuses the message for now.
            TimedOut: No confirm came in time; whether the broker took the task is not known.
            Unauthorized: The broker refuses the user or the virtual host.
            ConfigurationError: The URL or an installed library does not fit, or this is closed.
        """
        if self._closed.is_set():
            raise ConfigurationError("This client is closed: make a new one.")
        with sending(envelope, broker_url=self._url) as trace, self._place() as place:
            message = encode_task(envelope, traceparent=trace)
            try:
                self._publish_from(place, message, envelope.agent)
            except (ConnectionBroken, TimedOut):
                place.clear()
                self._publish_from(place, message, envelope.agent)

    def close(self) -> None:
        """Close the idle connections; those at work are closed when they are done."""
        self._closed.set()
        idle = []
        while True:
            try:
                idle.append(self._places.get_nowait())
            except Empty:
                break
        for place in idle:
            place.clear()
            self._places.put(place)

    def _publish_from(self, place: _Place, message: WireMessage, agent: str) -> None:
        if place.link is None:
            place.link = BrokerLink(self._url, timeout_seconds=self._timeout_seconds)
        place.link.publish(message, agent=agent)

    @contextmanager
    def _place(self) -> Iterator[_Place]:
        try:
            place = self._places.get(timeout=self._timeout_seconds)
        except Empty as error:
            raise TimedOut(
                f"All {_CONNECTIONS} broker connections were busy for {self._timeout_seconds:g} s: "
                "submit from fewer threads, or use submit_many."
            ) from error
        try:
            yield place
        finally:
            if self._closed.is_set() or (place.link is not None and not place.link.usable):
                place.clear()
            self._places.put(place)
