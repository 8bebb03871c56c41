"""What counting costs a task, and what a scrape costs beside a million finished tasks."""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from prometheus_client import Counter, Gauge, Histogram, generate_latest
from sqlalchemy import Engine

from bench.figures import Figure, Remark, Said, percentile, spread
from bench.finished_tasks import add_finished_tasks
from bench.fleet_run import AGENT, TEXT, bench_worker
from bench.instant_model import PAY_OUT, use_instant_model
from fleet_contracts.envelope import build_envelope
from fleet_contracts.topology import agent_address
from fleet_workers.agents import load_catalogue
from fleet_workers.controller.reception import Delivery
from fleet_workers.store import views
from fleet_workers.telemetry import meters
from fleet_workers.telemetry.logs import configure_logs
from fleet_workers.web.metrics_figures import read_lately, read_now
from fleet_workers.wiring import WorkerParts
from support.stacks import open_stack

_MANY = int(os.environ.get("ROWS", "1000000"))
_ROUNDS, _TASKS, _SCRAPES = 30, 10, 15


class _Nothing:
    """Stands for a meter that counts nothing."""

    def inc(self, *_: Any) -> None:
        """Count nothing."""

    def observe(self, *_: Any) -> None:
        """Note nothing."""

    def set(self, *_: Any) -> None:
        """Set nothing."""


def measure() -> Iterator[Said]:
    """Count and do not count in turn; then scrape a store with many finished tasks."""
    use_instant_model()
    configure_logs("WARNING", "json")
    with open_stack("rabbitmq") as stack:
        with bench_worker(stack) as parts:
            yield from _counting(parts)
        yield from _scrapes(stack.engine, "empty")
        add_finished_tasks(stack.engine, _MANY)
        yield Remark(text=f"metrics: a store with {_MANY:,} finished tasks")
        yield from _scrapes(stack.engine, "many")


def _counting(parts: WorkerParts) -> Iterator[Figure]:
    seconds: dict[bool, list[float]] = {True: [], False: []}
    _take_tasks(parts)  # the first ones open connections
    for _ in range(_ROUNDS):
        for counts in (True, False):
            with _counted(counts):
                seconds[counts].append(_take_tasks(parts) / _TASKS)
    with_meters, without = (percentile(seconds[counts], 0.5) for counts in (True, False))
    yield Figure(name="metrics.task.counted", value=with_meters * 1000, unit="ms/task")
    yield Figure(name="metrics.task.uncounted", value=without * 1000, unit="ms/task")
    yield Figure(name="metrics.task.ratio", value=with_meters / without, unit="counted/uncounted")
    begun = time.perf_counter()
    size = len(generate_latest(meters.REGISTRY))
    took = (time.perf_counter() - begun) * 1000
    yield Figure(name="metrics.worker.scrape", value=took, unit="ms")
    yield Figure(name="metrics.worker.scrape_size", value=size / 1000, unit="kB")


def _take_tasks(parts: WorkerParts) -> float:
    """Processor time of this thread, in which all of a task is done but what the servers do."""
    begun = time.thread_time()
    for number in range(_TASKS):
        words = f"{PAY_OUT}{number}" if number % 2 else f"{TEXT} {number}"
        envelope = build_envelope(tenant="acme", agent=AGENT, input=words)
        delivery = Delivery(payload=envelope.to_dict(), queue=agent_address(AGENT))
        parts.executor.deliver(delivery)
    return time.thread_time() - begun


@contextmanager
def _counted(counts: bool) -> Iterator[None]:
    if counts:
        yield
        return
    nothing = _Nothing()
    with ExitStack() as patched:
        for kind in (Counter, Gauge, Histogram):
            patched.enter_context(patch.object(kind, "labels", lambda *_, **__: nothing))
        patched.enter_context(patch.object(Counter, "inc", lambda *_: None))
        patched.enter_context(patch.object(Histogram, "observe", lambda *_: None))
        yield


def _scrapes(engine: Engine, name: str) -> Iterator[Figure]:
    catalogue = load_catalogue()
    seconds: dict[str, list[float]] = {"now": [], "lately": [], "overview": []}
    for _ in range(_SCRAPES):
        with engine.begin() as connection:
            for what, work in (
                ("now", lambda: read_now(connection, catalogue.names)),
                ("lately", lambda: read_lately(connection, catalogue, {})),
                ("overview", lambda: views.count_by_state(connection, tenant=None)),
            ):
                begun = time.perf_counter()
                work()
                seconds[what].append(time.perf_counter() - begun)
    for what, took in seconds.items():
        yield from spread(f"metrics.{name}.{what}", took, 0.5, 0.99)
