"""The slots of a process: a message is a word that something waits, and the store chooses the task.

A slot that has finished goes on with whatever is next, until nothing waits. A message that finds
no slot free is only taken in, so that none waits on the broker behind those of another tenant.
"""

import random
from collections.abc import Callable, Collection, Sequence
from threading import Event, Lock, Thread

import structlog

from fleet_contracts.errors import FleetError, Unavailable
from fleet_workers.controller.execution import Executor
from fleet_workers.controller.reception import Delivery
from fleet_workers.controller.turns import Idle, Taken

log = structlog.get_logger()

_LOOK_SECONDS = 0.25
"""How often a process with a free slot looks for what others have taken in, or left behind."""

Job = Callable[[], None]


class Slots:
    """One a process. `start` runs a job in a thread of the pool; RuntimeError where it is closed.

    `around` is called with each task that no message of this process brought, and works on it.

    No task is missed between a look that finds nothing and the slot that is given back: whoever
    takes a task in counts it first, and a slot is given back only where nothing was counted since
    before the look.
    """

    def __init__(
        self,
        executor: Executor,
        *,
        number: int,
        start: Callable[[Job], object],
        draining: Event,
        around: Callable[[Taken, Job], None] = lambda _taken, work: work(),
    ) -> None:
        self._executor = executor
        self._start = start
        self._draining = draining
        self._around = around
        self._lock = Lock()
        self._free = number
        self._expected = 0
        self._arrivals = 1  # the first look is never spared
        self._seen_empty = 0
        self._newcomers = 0
        self._is_away = False
        self._thread = Thread(target=self._look_out, name="lookout", daemon=True)

    def look_out(self) -> None:
        """Begin to look for what waits in the store; ends when the process drains."""
        self._thread.start()

    def expect(self, tenant: str) -> bool:
        """Whether a message of this tenant finds a free slot; if so, `deliver` is to follow."""
        with self._lock:
            if self._free <= self._expected or not self._executor.shares.may_begin(tenant):
                return False
            self._expected += 1
            return True

    def deliver(self, delivery: Delivery) -> None:
        """Take a message in and, where a slot is free, work on the task that is next.

        Raises:
            Unavailable: The store is away: the message must stay on the broker.
        """
        with self._lock:
            self._expected = max(0, self._expected - 1)
            has_slot = self._free > 0
            self._free -= has_slot
        if not has_slot:
            self.take_in([delivery])
            return
        others_wait = True
        try:
            others_wait = self._executor.deliver(delivery)
        finally:
            self._leave(others_wait=others_wait)

    def take_in(self, deliveries: Sequence[Delivery]) -> None:
        """Take messages in, and set a free slot to work if there is one.

        Raises:
            Unavailable: As above.
        """
        reception = self._executor.reception
        arrivals = [found for each in deliveries if (found := reception.read(each)) is not None]
        if arrivals:
            reception.take_in(arrivals)
            self._note_arrivals({each.envelope.tenant for each in arrivals})

    def _note_arrivals(self, tenants: Collection[str]) -> None:
        with self._lock:
            self._arrivals += 1
            if not any(map(self._executor.shares.may_begin, tenants)):
                return
            self._newcomers += 1
            if self._free == 0:
                return
            self._free -= 1
        self._start_job()

    def _leave(self, *, others_wait: bool) -> None:
        """Give a slot back, or let it go on in a job of its own: its message is done."""
        with self._lock:
            self._arrivals += others_wait
            if self._arrivals == self._seen_empty or self._draining.is_set():
                self._free += 1
                return
        self._start_job()

    def _start_job(self) -> None:
        """Start a job for a slot that was taken."""
        try:
            self._start(self._go_on)
        except RuntimeError:  # the pool is closed
            self._give_back()

    def _give_back(self) -> None:
        with self._lock:
            self._free += 1

    def _go_on(self) -> None:
        """Work on one task after another with a slot that was taken, until nothing is to be had."""
        while not self._draining.is_set():
            with self._lock:
                arrivals, newcomers = self._arrivals, self._newcomers
            found = self._look()
            if isinstance(found, Taken):
                self._spread()
                self._run(found)
                continue
            with self._lock:
                if found is Idle.EMPTY and self._arrivals == arrivals:
                    self._seen_empty = arrivals
                elif found is not None and self._newcomers != newcomers:
                    continue
                self._free += 1
            return
        self._give_back()

    def _look(self) -> Taken | Idle | None:
        """What is next; None where the store is away."""
        try:
            found = self._executor.take_next()
        except Unavailable as error:
            if not self._is_away:
                log.warning("store.unavailable", error=str(error))
            self._is_away = True
            return None
        self._is_away = False
        return found

    def _spread(self) -> None:
        """Where one task was found others may wait: set one more free slot to work."""
        with self._lock:
            if self._free == 0 or not self._executor.shares.has_open_slots:
                return
            self._free -= 1
        self._start_job()

    def _run(self, taken: Taken) -> None:
        try:
            self._around(taken, lambda: self._executor.run(taken))
        except FleetError as error:  # the store is away: its lease ends, and it is queued again
            log.warning("task.left", task=str(taken.claim.task_id), error=str(error))
        except Exception:
            log.exception("task.left", task=str(taken.claim.task_id))

    def _look_out(self) -> None:
        wait_seconds = 0.0
        while not self._draining.wait(wait_seconds):
            with self._lock:
                is_free = self._free > 0
                self._free -= is_free
            if is_free:
                self._start_job()
            soon = self._executor.shares.seconds_to_next()
            often = random.uniform(0.8, 1.2) * _LOOK_SECONDS  # noqa: S311 so that processes take turns
            wait_seconds = often if soon is None else min(often, max(soon, 0.005))
