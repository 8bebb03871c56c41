"""Takes messages in that find no slot free: many with one statement, and each leaves the broker."""

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread

import structlog

from fleet_contracts.errors import Unavailable
from fleet_workers.controller.reception import Delivery
from fleet_workers.controller.slots import Slots
from fleet_workers.wiring import WorkerParts

log = structlog.get_logger()

_MOST = 100  # a statement; beyond it takes longer, and a quiet tenant's message waits for it
_STORE_WAIT_SECONDS = 2.0

_Waiting = tuple[Delivery, Callable[[], None]]


class Intake:
    """One thread a process."""

    def __init__(self, parts: WorkerParts, slots: Slots) -> None:
        self._draining = parts.draining
        self._slots = slots
        self._waiting: SimpleQueue[_Waiting] = SimpleQueue()
        self._thread = Thread(target=self._run, name="intake", daemon=True)

    def start(self) -> None:
        """Begin; the thread ends with the process."""
        self._thread.start()

    def put(self, delivery: Delivery, acknowledge: Callable[[], None]) -> None:
        """Take a message in soon, then acknowledge it. Waits for nothing.

        What is still here when the process ends was not acknowledged, and the broker has it.
        """
        self._waiting.put((delivery, acknowledge))

    def _run(self) -> None:
        while True:
            messages = [self._waiting.get()]
            while len(messages) < _MOST and not self._waiting.empty():
                messages.append(self._waiting.get())
            try:
                self._take_in([delivery for delivery, _ in messages])
            except Exception:
                log.exception("intake.failed", messages=len(messages))
                self._take_in_singly(messages)
            else:
                for _, acknowledge in messages:
                    acknowledge()

    def _take_in_singly(self, messages: list[_Waiting]) -> None:
        """Let no message that breaks the intake keep others on the broker."""
        for delivery, acknowledge in messages:
            try:
                self._take_in([delivery])
            except Exception:
                log.exception("intake.failed", queue=delivery.queue)
            else:
                acknowledge()

    def _take_in(self, deliveries: list[Delivery]) -> None:
        """Repeat while the store is away: a message given back would use up its deliveries."""
        while True:
            try:
                return self._slots.take_in(deliveries)
            except Unavailable as error:
                log.warning("store.unavailable", error=str(error))
                if self._draining.wait(_STORE_WAIT_SECONDS):
                    raise
