"""Times a queue that was filled before the workers started: the same window for every side."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench.figures import Figure
from bench.processor import Disturbed, ProcessorClock, ProcessorTime

_FIRST, _LAST = 0.2, 0.95  # of the tasks: before and after, workers start up or run empty
_LIMIT_SECONDS = 240


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """How fast a filled queue was emptied, and the processor time a task in milliseconds."""

    tasks_per_second: float
    worker_ms: float
    store_ms: float | None
    broker_ms: float | None

    def figures(self, name: str) -> Iterator[Figure]:
        """One line each; what could not be attributed is left out."""
        yield Figure(name=f"{name}.tasks_per_second", value=self.tasks_per_second, unit="tasks/s")
        parts = {"worker": self.worker_ms, "store": self.store_ms, "broker": self.broker_ms}
        for part, value in parts.items():
            if value is not None:
                yield Figure(name=f"{name}.{part}_processor", value=value, unit="ms/task")


def measure_drain(done: Callable[[], int], *, total: int, clock: ProcessorClock) -> Drain:
    """Watch a queue being emptied. `done` tells how many of the `total` tasks are finished.

    Raises:
        Disturbed: It does not get empty, or a broker was started or stopped.
    """
    reach(lambda: done() >= total * _FIRST)
    first, used, begun = done(), clock.read(), time.monotonic()
    reach(lambda: done() >= total * _LAST)
    count, seconds = done() - first, time.monotonic() - begun
    spent = clock.read()
    return Drain(
        tasks_per_second=count / seconds,
        worker_ms=(spent.workers - used.workers) / count * 1000,
        store_ms=_each(spent, used, "store", count),
        broker_ms=_each(spent, used, "broker", count),
    )


def reach(
    condition: Callable[[], bool],
    *,
    pause_seconds: float = 0.1,
    limit_seconds: float = _LIMIT_SECONDS,
) -> None:
    """Wait until something holds.

    Raises:
        Disturbed: It has not come about in time.
    """
    deadline = time.monotonic() + limit_seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Disturbed(f"Not done after {limit_seconds:.0f} s.")
        time.sleep(pause_seconds)


def _each(spent: ProcessorTime, used: ProcessorTime, part: str, count: int) -> float | None:
    after, before = getattr(spent, part), getattr(used, part)
    return None if after is None or before is None else (after - before) / count * 1000
