"""A queue that one process begins on, four drain, and one finishes, while tasks go on coming.

`TASKS=10000` makes it shorter. Every task is accounted for: done, lost, or asked about twice.
"""

import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Thread

from sqlalchemy import func, select

from bench.counting_worker import ASKED_FILE
from bench.figures import Figure, Remark, Said
from bench.fleet_run import AGENT, DEFAULTS, TEXT
from bench.processor import Disturbed
from bench.scaling_meter import Meter, Process
from fleet_client import FleetClient
from fleet_workers.broker.postman import Postman
from fleet_workers.embedded.scaling import Bounds
from fleet_workers.store.tables import tasks
from support.scaled_pool import ScaledPool, scaled_pool
from support.stacks import Stack, open_stack

_TASKS = 100_000
_SLOTS = 100
_MOST = 4
_FLOOD = 0.9  # of the tasks come at once, the others while the pool shrinks
_TRICKLE_SECONDS = 120.0  # three times the 30 s after which it shrinks, and time to end
_SQUEEZED_FROM, _SQUEEZED_TO = 0.4, 0.5  # of the tasks: meanwhile the pool may have one process
_WARM_SHARE, _WARM_TASKS = 0.05, 2000  # after so many a process has all that it keeps
_PRODUCERS = 8  # each waits for the broker's disk at each task
_TRIES = 5
_LOOK_SECONDS = 1.0
_SAID_SECONDS = 10.0
_LEAST_SECONDS = 3.0  # a rate over less says nothing


def measure() -> Iterator[Said]:
    """Submit over the broker, drain with one to four processes, and account for every task.

    Raises:
        Disturbed: It took much too long.
    """
    total = int(os.environ.get("TASKS", _TASKS))
    with open_stack("rabbitmq") as stack, tempfile.TemporaryDirectory() as folder:
        asked = Path(folder) / "asked"
        asked.touch()
        _declare(stack)
        pool = scaled_pool(
            stack,
            Path(folder),
            agent=AGENT,
            bounds=Bounds(least=1, most=_MOST),
            slots=_SLOTS,
            environment={**DEFAULTS, ASKED_FILE: str(asked)},
            module="bench.counting_worker",
        )
        with pool as at_work:
            run = _Run(stack, at_work, total)
            run.work()
            yield from run.figures()
        yield from _account(stack, total, asked)


class _Run:
    """One flood and what follows it."""

    def __init__(self, stack: Stack, pool: ScaledPool, total: int) -> None:
        self._stack = stack
        self._pool = pool
        self._total = total
        self._flood = int(total * _FLOOD)
        self._meter = Meter(stack, pool)
        self._begun = time.monotonic()
        self._said_at = 0.0
        self._lines: list[str] = []
        self._enqueued_seconds = self._drained_seconds = 0.0
        self._limit_seconds = 300 + total / 40

    def work(self) -> None:
        producers = [_in_background(self._submit_flood)]
        squeezed = False
        while self._meter.done < self._flood:
            share = self._meter.done / self._total
            was_whole = len(self._pool.names()) == _MOST or share > _SQUEEZED_TO
            if not squeezed and share >= _SQUEEZED_FROM and was_whole:
                squeezed = True
                squeezed_until = share + _SQUEEZED_TO - _SQUEEZED_FROM
                self._pool.bound(Bounds(least=1, most=1))
            elif squeezed and share >= squeezed_until:
                self._pool.bound(Bounds(least=1, most=_MOST))
            self._look(is_full=bool(self._enqueued_seconds))
        self._drained_seconds = time.monotonic() - self._begun
        producers.append(_in_background(self._submit_trickle))
        while self._meter.done < self._total or len(self._pool.pids()) > 1:
            self._look(is_full=False)
        for each in producers:
            each.join()

    def figures(self) -> Iterator[Said]:
        for line in self._lines:
            yield Remark(text=line)
        meter = self._meter
        yield Figure(name="scaling.tasks", value=self._total, unit="tasks")
        rate = self._flood / self._enqueued_seconds
        yield Figure(name="scaling.enqueued_per_second", value=rate, unit="tasks/s")
        yield Figure(name="scaling.drained_in", value=self._drained_seconds, unit="s")
        for number, seconds in sorted(meter.seconds_with.items()):
            if seconds >= _LEAST_SECONDS:
                name = f"scaling.with_{number}_process{'es' if number > 1 else ''}"
                yield Figure(name=name, value=meter.tasks_with[number] / seconds, unit="tasks/s")
        each = meter.processor_seconds() / self._total * 1000
        yield Figure(name="scaling.worker_processor", value=each, unit="ms/task")
        yield from _memory(meter.longest(), self._total)

    def _submit_flood(self) -> None:
        begun = time.monotonic()
        shares = [range(each, self._flood, _PRODUCERS) for each in range(_PRODUCERS)]
        with ThreadPoolExecutor(_PRODUCERS) as producers:
            list(producers.map(partial(_submit, self._stack), shares))
        self._enqueued_seconds = time.monotonic() - begun

    def _submit_trickle(self) -> None:
        left = range(self._flood, self._total)
        begun = time.monotonic()
        done = 0
        while done < len(left):
            due = int(len(left) * min(1.0, (time.monotonic() - begun) / _TRICKLE_SECONDS))
            if due > done:
                _submit(self._stack, left[done:due])
                done = due
            time.sleep(0.5)

    def _look(self, *, is_full: bool) -> None:
        time.sleep(_LOOK_SECONDS)
        now = time.monotonic()
        self._meter.look(now, is_full=is_full)
        seconds = now - self._begun
        while len(self._lines) < len(self._pool.lines):
            self._lines.append(f"{seconds:4.0f} s: {self._pool.lines[len(self._lines)]}")
            _say(self._lines[-1])
        if now - self._said_at > _SAID_SECONDS:
            self._said_at = now
            names = len(self._pool.names())
            _say(f"{seconds:4.0f} s: {self._meter.done} of {self._total} with {names} processes")
        if seconds > self._limit_seconds:
            raise Disturbed(
                f"{self._meter.done} of {self._total} tasks were done after {seconds:.0f} s."
            )


def _declare(stack: Stack) -> None:
    postman = Postman(stack.engine, stack.broker_url)
    postman.declare([AGENT])
    postman.close()


def _submit(stack: Stack, numbers: Sequence[int]) -> None:
    """Hand in the tasks of these numbers. One that the broker may have taken goes again by its key.

    Raises:
        FleetError: The broker does not take them.
    """
    left = list(numbers)
    for tries_left in reversed(range(_TRIES)):
        with FleetClient(broker_url=stack.broker_url, tenant="acme") as client:
            results = client.submit_many(
                {"text": f"{TEXT} {each}", "agent": AGENT, "idempotency_key": f"scaling-{each}"}
                for each in left
            )
        failed = [result.error for result in results if result.error is not None]
        if failed and not tries_left:
            raise failed[0]
        left = [
            each for each, result in zip(left, results, strict=True) if result.error is not None
        ]
        if not left:
            return


def _in_background(work: Callable[[], None]) -> Thread:
    thread = Thread(target=work, daemon=True)
    thread.start()
    return thread


def _memory(process: Process, total: int) -> Iterator[Figure]:
    """Of the process that did most, from when it was warm."""
    warm = [each for each in process.memory if each[0] >= max(total * _WARM_SHARE, _WARM_TASKS)]
    if len(warm) > 1:
        (first, begin), (last, end) = warm[0], warm[-1]
        yield Figure(name="scaling.memory_when_warm", value=begin, unit="MB")
        yield Figure(name="scaling.memory_at_end", value=end, unit="MB")
        growth = (end - begin) / max(last - first, 1) * 10_000
        yield Figure(name="scaling.memory_growth", value=growth, unit="MB/10,000 tasks")


def _account(stack: Stack, total: int, asked: Path) -> Iterator[Figure]:
    with stack.engine.begin() as connection:
        query = select(tasks.c.state, func.count().label("number")).group_by(tasks.c.state)
        states = {row.state: row.number for row in connection.execute(query)}
    questions = Counter(asked.read_text().split())
    twice = sum(count > 1 for count in questions.values())
    done = states.pop("succeeded", 0)
    yield Figure(name="scaling.succeeded", value=done, unit="tasks")
    yield Figure(name="scaling.lost", value=total - done, unit="tasks")
    yield Figure(name="scaling.asked_twice", value=twice, unit="tasks")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
