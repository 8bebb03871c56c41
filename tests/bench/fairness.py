"""What a quiet tenant waits beside one that has 10,000 tasks queued, and while those pour in.

A model takes three seconds on average, so that slots are what is short: where the processor is,
every thread waits for every other, whoever's task it has, and a pool needs another process.
"""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator

from sqlalchemy import text

from bench.drain import reach
from bench.figures import Figure, Remark, Said, percentile, spread
from bench.fleet_run import AGENT, bench_fleet
from bench.instant_model import TAKE_TIME, THINK
from bench.processor import Disturbed
from fleet_client import FleetClient, TaskItem
from fleet_contracts.envelope import Priority
from support.stacks import Stack, open_stack

_FLOOD = int(os.environ.get("FLOOD", "10000"))
_SLOTS = 100
_QUIET, _LOUD = "globex", "acme"
_EVERY_SECONDS = 1.0
_PHASE_SECONDS = 45.0
_LONGEST_SECONDS = 150.0

# The producer's clock and the store's are those of one machine.
_WAITS = text("""
SELECT EXTRACT(EPOCH FROM started_at - submitted_at) FROM tasks
WHERE tenant = :tenant AND envelope ->> 'input' LIKE :like AND started_at IS NOT NULL
ORDER BY submitted_at
""")
_COUNT = text("""
SELECT count(*) FROM tasks
WHERE tenant = :tenant AND (CAST(:state AS text) IS NULL OR state = :state)
""")


def measure() -> Iterator[Said]:
    """The quiet tenant alone, during the flood, and beside what is left of it, in one run."""
    with (
        open_stack("rabbitmq") as stack,
        bench_fleet(stack, slots=_SLOTS),
        _client(stack.broker_url, _QUIET) as client,
    ):
        _submit(client, "warm", lambda seconds: seconds > _PHASE_SECONDS / 4)
        _submit(client, "alone", lambda seconds: seconds > _PHASE_SECONDS)
        begun = time.monotonic()
        flood = multiprocessing.get_context("spawn").Process(
            target=_flood, args=(stack.broker_url, _FLOOD)
        )
        flood.start()
        _submit(client, "moment", lambda _: _count(stack, _LOUD) >= _FLOOD)
        yield Figure(name="fairness.flood_taken_in_after", value=time.monotonic() - begun, unit="s")
        flood.join()
        left, begun = _count(stack, _LOUD, "queued"), time.monotonic()
        _submit(client, "queued", lambda seconds: seconds > _PHASE_SECONDS)
        still = _count(stack, _LOUD, "queued")
        yield Remark(text=f"fairness: {still:,} tasks of the other were queued to the end")
        rate = (left - still) / (time.monotonic() - begun)
        yield Figure(name="fairness.queued.others_started", value=rate, unit="tasks/s")
        reach(lambda: _count(stack, _QUIET, "queued") == 0)
        phases = ("alone", "moment", "queued")
        waits = {phase: _waits(stack, _QUIET, f"%{phase} %") for phase in phases}
    for phase, seconds in waits.items():
        yield from spread(f"fairness.{phase}.wait", seconds, 0.5, 0.95, 1.0)
    for phase in ("moment", "queued"):
        ratio = percentile(waits[phase], 0.95) / percentile(waits["alone"], 0.95)
        yield Figure(name=f"fairness.{phase}.wait_p95_ratio", value=ratio, unit=f"{phase}/alone")


def _submit(client: FleetClient, phase: str, is_over: Callable[[float], bool]) -> None:
    """Send a task now and then until the phase, whose seconds are told, is over."""
    begun, number = time.monotonic(), 0
    while not is_over(time.monotonic() - begun):
        if number * _EVERY_SECONDS > _LONGEST_SECONDS:
            raise Disturbed(f"The phase {phase!r} does not end.")
        client.submit(f"{THINK}: {phase} {number}", agent=AGENT)
        number += 1
        time.sleep(max(0.0, begun + number * _EVERY_SECONDS - time.monotonic()))


def _client(broker_url: str, tenant: str) -> FleetClient:
    return FleetClient(broker_url=broker_url, api_url="", api_key="", tenant=tenant)


def _flood(broker_url: str, count: int) -> None:
    """Publish as fast as may be, from a process of its own."""
    items: Iterator[TaskItem] = (
        {"text": f"{THINK}: flood {each}", "agent": AGENT} for each in range(count)
    )
    with _client(broker_url, _LOUD) as client:
        for result in client.submit_many(items):
            if result.error is not None:
                raise result.error


def _waits(stack: Stack, tenant: str, like: str) -> list[float]:
    with stack.engine.begin() as connection:
        found = connection.execute(_WAITS, {"tenant": tenant, "like": like})
        return [float(each) for each in found.scalars()]


def _count(stack: Stack, tenant: str, state: str | None = None) -> int:
    parameters = {"tenant": tenant, "state": state}
    with stack.engine.begin() as connection:
        return int(connection.execute(_COUNT, parameters).scalar_one())


_OVERLOAD = {Priority.HIGH: 4, Priority.NORMAL: 20, Priority.BULK: 12}
"""Tasks a second of one tenant, where its process can do 25."""

_OVERLOAD_SECONDS = 40
_OVERLOAD_SLOTS = 10


def measure_priorities() -> Iterator[Said]:
    """One tenant that sends more than its pool can do: who waits how long."""
    with (
        open_stack("rabbitmq") as stack,
        bench_fleet(stack, slots=_OVERLOAD_SLOTS) as running,
        running.fleet.client() as client,
    ):
        begun = time.monotonic()
        for second in range(_OVERLOAD_SECONDS):
            for priority, number in _OVERLOAD.items():
                for place in range(number):
                    words = f"{TAKE_TIME}: {priority} {second} {place}"
                    client.submit(words, agent=AGENT, priority=priority)
            time.sleep(max(0.0, begun + second + 1 - time.monotonic()))
        left = {each: _left(stack, each) for each in Priority}
        reach(lambda: sum(_left(stack, each) for each in Priority) == 0)
        for each in Priority:
            seconds = _waits(stack, _LOUD, f"%{each} %")
            yield from spread(f"priorities.{each}.wait", seconds, 0.5, 0.95, 1.0)
            yield Figure(
                name=f"priorities.{each}.queued_at_the_end", value=left[each], unit="tasks"
            )


def _left(stack: Stack, priority: Priority) -> int:
    query = text(
        "SELECT count(*) FROM tasks WHERE state = 'queued' AND envelope ->> 'priority' = :priority"
    )
    with stack.engine.begin() as connection:
        return int(connection.execute(query, {"priority": priority}).scalar_one())
