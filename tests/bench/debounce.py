"""Many tasks under a few debounce keys, from several producers at once, beside as many plain ones.

`TASKS=500` makes it shorter. It is checked that each key ran once, and that its last task did.
"""

import os
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from multiprocessing import get_context
from uuid import UUID

from sqlalchemy import text

from bench.drain import reach
from bench.figures import Figure, Said, spread
from bench.fleet_run import AGENT, TEXT, BenchFleet, asked_at, bench_fleet
from bench.processor import Disturbed, ProcessorClock
from fleet_client import Debounce, FleetClient
from support.stacks import Stack, open_stack

_TASKS = 2000
_PRODUCERS = 4
_KEYS = 20
_WINDOW = Debounce(key="", seconds=20.0, max_seconds=600.0)  # longer than a busy machine pauses
_SLOTS = 100
_DELAYED = 100
_DELAY_SECONDS = 2.0
_APART_SECONDS = 0.05  # their times are spread over five seconds

_SAME_MOMENT_SECONDS = 0.01  # the client notes its own time a little after ours

_COURSE = text("""
SELECT state, envelope ->> 'debounce_key' AS key,
    CAST(envelope -> 'data' ->> 'sent' AS float) AS sent
FROM tasks
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """What one producer process sends; `keys` is 0 for plain tasks."""

    broker_url: str
    number: int
    keys: int

    def send(self, place: int) -> float:
        """Send, each task with its place behind the text; gives the seconds that it took."""
        begun = time.monotonic()
        with FleetClient(broker_url=self.broker_url, tenant="acme") as client:
            for each in range(self.number):
                window = _window(each % self.keys) if self.keys else None
                client.submit(
                    f"{TEXT} {place} {each}",
                    agent=AGENT,
                    data={"sent": time.time()},
                    debounce=window,
                )
        return time.monotonic() - begun


def measure() -> Iterator[Said]:
    """Let producers send, wait until all has settled, and look at what ran.

    Raises:
        Disturbed: A key ran twice, not at all, or not with its last task.
    """
    total = int(os.environ.get("TASKS", _TASKS)) // _PRODUCERS * _PRODUCERS
    for name, keys in (("plain", 0), ("debounced", _KEYS)):
        with (
            open_stack("rabbitmq") as stack,
            bench_fleet(stack, slots=_SLOTS, janitor=True) as running,
        ):
            yield from _arm(f"debounce.{name}", stack, running, total=total, keys=keys)
            if keys:
                yield from _lateness(stack, running)


def _arm(
    name: str, stack: Stack, running: BenchFleet, *, total: int, keys: int
) -> Iterator[Figure]:
    clock = ProcessorClock(running.pids, stack.engine)
    used = clock.read()
    sender = Sender(broker_url=stack.broker_url, number=total // _PRODUCERS, keys=keys)
    with ProcessPoolExecutor(_PRODUCERS, mp_context=get_context("spawn")) as producers:
        sent_seconds = max(producers.map(sender.send, range(_PRODUCERS)))
    reach(partial(_all_settled, stack, total))
    spent = clock.read()
    yield Figure(name=f"{name}.submitted", value=total / sent_seconds, unit="tasks/s")
    worker_ms = (spent.workers - used.workers) / total * 1000
    yield Figure(name=f"{name}.worker_processor", value=worker_ms, unit="ms/task")
    if spent.store is not None and used.store is not None:
        store_ms = (spent.store - used.store) / total * 1000
        yield Figure(name=f"{name}.store_processor", value=store_ms, unit="ms/task")
    if keys:
        yield from _runs(name, stack, total=total)


def _runs(name: str, stack: Stack, *, total: int) -> Iterator[Figure]:
    with stack.engine.begin() as connection:
        rows = connection.execute(_COURSE).all()
    states = Counter(row.state for row in rows)
    if states != {"succeeded": _KEYS, "cancelled": total - _KEYS}:
        raise Disturbed(f"Of {total} tasks under {_KEYS} keys: {dict(states)}.")
    runs = [row for row in rows if row.state == "succeeded"]
    newest: dict[str, float] = {}
    for row in rows:
        newest[row.key] = max(row.sent, newest.get(row.key, 0.0))
    last = [row.key for row in runs if row.sent >= newest[row.key] - _SAME_MOMENT_SECONDS]
    yield Figure(name=f"{name}.tasks", value=total, unit="tasks")
    yield Figure(name=f"{name}.keys", value=len(newest), unit="keys")
    yield Figure(name=f"{name}.runs", value=len(runs), unit="tasks")
    yield Figure(name=f"{name}.ran_the_last", value=len(set(last)), unit="keys")


def _lateness(stack: Stack, running: BenchFleet) -> Iterator[Figure]:
    """How long after its time a delayed task's model is asked."""
    due: dict[UUID, datetime] = {}
    with running.fleet.client() as client:
        for each in range(_DELAYED):
            start = datetime.now(UTC) + timedelta(seconds=_DELAY_SECONDS)
            task = client.submit(f"{TEXT} later {each}", agent=AGENT, not_before=start)
            due[task.id] = start
            time.sleep(_APART_SECONDS)
    reach(lambda: running.succeeded() == _KEYS + _DELAYED)
    late = [asked_at(stack, task_id) - start.timestamp() for task_id, start in due.items()]
    yield from spread("delay.lateness", late, 0.5, 0.95)


def _all_settled(stack: Stack, total: int) -> bool:
    with stack.engine.begin() as connection:
        settled: int = connection.execute(
            text("SELECT count(*) FROM tasks WHERE finished_at IS NOT NULL")
        ).scalar_one()
    return settled >= total


def _window(number: int) -> Debounce:
    return Debounce(key=f"key {number}", seconds=_WINDOW.seconds, max_seconds=_WINDOW.max_seconds)
