"""Follows a pool while it drains a queue: tasks by number of processes, memory, processor time."""

from collections import defaultdict
from dataclasses import dataclass, field

import psutil
from sqlalchemy import func, select, text

from fleet_workers.store.tables import tasks
from support.scaled_pool import ScaledPool
from support.stacks import Stack

_MEGABYTE = 1024.0 * 1024.0


@dataclass(slots=True)
class Process:
    """What one worker process has used. `tasks` is its equal share of what was done meanwhile."""

    seconds: float = 0.0
    tasks: float = 0.0
    memory: list[tuple[float, float]] = field(default_factory=list)
    """Tasks it had done, and its megabytes then."""


class Meter:
    """Look about once a second; `done` is then the number of tasks that have ended."""

    def __init__(self, stack: Stack, pool: ScaledPool) -> None:
        self.done = 0
        self.processes: dict[int, Process] = defaultdict(Process)
        self.tasks_with: dict[int, float] = defaultdict(float)
        self.seconds_with: dict[int, float] = defaultdict(float)
        self._stack = stack
        self._pool = pool
        self._looked_at = None
        self._before: tuple[int, float] = (0, 0.0)
        with stack.engine.begin() as connection:
            self._counted_to = connection.execute(select(func.now())).scalar_one()

    def look(self, now: float, *, is_full: bool) -> None:
        """Take note of what was done since the last look; rates count while the queue `is_full`."""
        ended = self._count()
        self.done += ended
        pids = self._pool.pids()
        ready = self._pool.names()
        number, since = self._before
        if is_full and number == len(ready) == len(pids) and number:
            self.tasks_with[number] += ended
            self.seconds_with[number] += now - since
        self._before = (len(ready) if len(ready) == len(pids) else 0, now)
        for name, pid in pids.items():
            self._follow(self.processes[pid], pid, ended / len(ready) if name in ready else 0.0)

    def processor_seconds(self) -> float:
        """User and system time of all worker processes so far."""
        return sum(each.seconds for each in self.processes.values())

    def longest(self) -> Process:
        """The process that did most."""
        return max(self.processes.values(), key=lambda each: each.tasks)

    def _follow(self, process: Process, pid: int, share: float) -> None:
        try:
            seen = psutil.Process(pid)
            with seen.oneshot():
                process.seconds = sum(seen.cpu_times()[:2])
                megabytes = seen.memory_info().rss / _MEGABYTE
        except psutil.NoSuchProcess:
            return
        process.tasks += share
        process.memory.append((process.tasks, megabytes))

    def _count(self) -> int:
        """Tasks that ended since the last count, by an index: what ended before is not read."""
        with self._stack.engine.begin() as connection:
            # A second for those whose transaction began before they are seen.
            to = connection.execute(text("SELECT now() - interval '1 second'")).scalar_one()
            query = (
                select(func.count())
                .select_from(tasks)
                .where(tasks.c.finished_at > self._counted_to, tasks.c.finished_at <= to)
            )
            found = connection.execute(query).scalar_one()
        self._counted_to = max(to, self._counted_to)
        return int(found)
