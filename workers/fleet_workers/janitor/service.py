"""The janitor process: sweeps again and again until it is told to stop."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from threading import Event

import structlog

from fleet_contracts.errors import Unavailable

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
        touched = 0
        try:
            touched = self.work()
        except Unavailable as error:
            log.warning("janitor.store_unavailable", chore=self.name, error=str(error))
        except Exception:
            log.exception("janitor.failed", chore=self.name)
        pause_seconds = 0.0 if touched else self.every.total_seconds()
        self.due_at = time.monotonic() + pause_seconds


def run_janitor(chores: Sequence[Chore], *, stopped: Event) -> None:
    """Do each chore when its time comes, one after another, until `stopped`."""
    while not stopped.is_set():
        for chore in chores:
            if chore.due_at <= time.monotonic():
                chore.run()
        next_at = min(chore.due_at for chore in chores)
        stopped.wait(max(0.0, next_at - time.monotonic()))
