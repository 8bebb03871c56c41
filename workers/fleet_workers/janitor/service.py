"""The janitor process: sweeps again and again until it is told to stop."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from threading import Event, Thread

import structlog

from fleet_contracts.errors import Unavailable
from fleet_workers.telemetry.meters import CHORE_SECONDS, CHORE_THINGS, CHORES_FAILED

log = structlog.get_logger()


@dataclass(slots=True)
class Chore:
    """Work that is done every so often; at once again while there is much to do.

    `work` gives the number of things that it touched.
    """

    name: str
    work: Callable[[], int]
    every: timedelta
    due_at: float = 0.0

    def run(self) -> None:
        """Do it once. A store that is away, or a fault, is logged; the chore comes again."""
        touched, begun = 0, time.monotonic()
        try:
            touched = self.work()
        except Unavailable as error:
            CHORES_FAILED.labels(self.name).inc()
            log.warning("janitor.store_unavailable", chore=self.name, error=str(error))
        except Exception:
            CHORES_FAILED.labels(self.name).inc()
            log.exception("janitor.failed", chore=self.name)
        CHORE_SECONDS.labels(self.name).observe(time.monotonic() - begun)
        CHORE_THINGS.labels(self.name).inc(max(0, touched))
        pause_seconds = 0.0 if touched else self.every.total_seconds()
        self.due_at = time.monotonic() + pause_seconds


@contextmanager
def chores_at_work(name: str, chores: Sequence[Chore], *, stop_seconds: float) -> Iterator[None]:
    """Do chores in a thread of their own until the block ends, and wait for it so long at most."""
    stopped = Event()
    work = partial(run_janitor, chores, stopped=stopped)
    thread = Thread(target=work, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join(timeout=stop_seconds)


def run_janitor(chores: Sequence[Chore], *, stopped: Event) -> None:
    """Do each chore when its time comes, one after another, until `stopped`."""
    while not stopped.is_set():
        for chore in chores:
            if chore.due_at <= time.monotonic():
                chore.run()
        next_at = min(chore.due_at for chore in chores)
        stopped.wait(max(0.0, next_at - time.monotonic()))
