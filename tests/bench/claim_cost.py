"""Whether a task costs the same with ten thousand and with millions of finished tasks beside it."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from sqlalchemy import text

from bench.figures import Figure, Remark, Said, percentile, spread
from bench.finished_tasks import add_finished_tasks
from bench.fleet_run import AGENT, TEXT, asked_at, bench_worker
from bench.instant_model import use_instant_model
from fleet_contracts.envelope import build_envelope
from fleet_contracts.topology import agent_address
from fleet_workers.controller.reception import Delivery
from fleet_workers.janitor.sweep import Sweeper
from fleet_workers.telemetry.logs import configure_logs
from fleet_workers.wiring import WorkerParts
from support.stacks import Stack, open_stack

_FEW = 10_000
_MANY = int(os.environ.get("ROWS", "2000000"))
_ROUNDS = {"task": 25, "session_task": 8, "sweep": 25}
_TASKS = 10  # a round and side: what else the machine does meets both sides alike
_STATISTICS_SECONDS = 1.5  # PostgreSQL publishes a session's counts within a second of its end


@dataclass(kw_only=True)
class Side:
    """A store with finished tasks, a worker's parts on it, and what was timed, in seconds."""

    name: str
    stack: Stack
    parts: WorkerParts
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def take_tasks(self, kind: str) -> None:
        """Take some tasks from their message to their end."""
        for number in range(_TASKS):
            envelope = build_envelope(
                tenant="acme",
                agent=AGENT,
                input=f"{TEXT} {number}",
                session_id=f"session {number}" if kind == "session_task" else None,
            )
            begun_at = time.time()
            delivery = Delivery(payload=envelope.to_dict(), queue=agent_address(AGENT))
            self._time(kind, partial(self.parts.executor.deliver, delivery))
            first = asked_at(self.stack, envelope.id) - begun_at
            self._note(f"{kind}_to_first_step", first)

    def sweep(self) -> None:
        """Let the janitor look at everything once."""
        core = self.parts.core
        sweeper = Sweeper(core.engine, core.postman)
        self._time("sweep", sweeper.sweep)
        self._time("search_for_forgotten", sweeper.wake_forgotten)

    def pages(self) -> int:
        """Pages of the tasks' table and its indexes that were looked at so far."""
        self.parts.core.engine.dispose()
        time.sleep(_STATISTICS_SECONDS)
        query = text("""
            SELECT heap_blks_hit + heap_blks_read + idx_blks_hit + idx_blks_read
            FROM pg_statio_user_tables WHERE relname = 'tasks'
        """)
        with self.stack.engine.begin() as connection:
            return int(connection.execute(query).scalar_one())

    def _time(self, what: str, work: Callable[[], object]) -> None:
        begun = time.perf_counter()
        work()
        self._note(what, time.perf_counter() - begun)

    def _note(self, what: str, seconds: float) -> None:
        self.seconds.setdefault(what, []).append(seconds)


def measure() -> Iterator[Said]:
    """Do the same work on both sides in turn, and compare."""
    use_instant_model()
    configure_logs("WARNING", "json")
    with _side(_FEW) as few, _side(_MANY) as many:
        yield Remark(text=f"claim: {_FEW:,} and {_MANY:,} finished tasks, in turn")
        sides = (few, many)
        for kind in ("task", "session_task"):
            yield from _take_in_turn(sides, kind)
        for _ in range(_ROUNDS["sweep"]):
            for side in sides:
                side.sweep()
        for what in few.seconds:
            yield from _compare(sides, what)


def _take_in_turn(sides: tuple[Side, Side], kind: str) -> Iterator[Figure]:
    for side in sides:
        side.take_tasks(kind)  # the first ones open connections
        for what in (kind, f"{kind}_to_first_step"):
            side.seconds[what].clear()
    before = [side.pages() for side in sides]
    for _ in range(_ROUNDS[kind]):
        for side in sides:
            side.take_tasks(kind)
    for side, pages in zip(sides, before, strict=True):
        each = (side.pages() - pages) / (_ROUNDS[kind] * _TASKS)
        yield Figure(name=f"claim.{side.name}.{kind}_pages", value=each, unit="pages/task")


def _compare(sides: tuple[Side, Side], what: str) -> Iterator[Figure]:
    for side in sides:
        shares = (0.5, 0.99) if what == "task" else (0.5,)
        yield from spread(f"claim.{side.name}.{what}", side.seconds[what], *shares)
    few, many = (percentile(side.seconds[what], 0.5) for side in sides)
    yield Figure(name=f"claim.ratio.{what}_p50", value=many / few, unit="many/few")


@contextmanager
def _side(rows: int) -> Iterator[Side]:
    with open_stack("rabbitmq") as stack:
        add_finished_tasks(stack.engine, rows)
        with bench_worker(stack) as parts:
            yield Side(name="few" if rows == _FEW else "many", stack=stack, parts=parts)
