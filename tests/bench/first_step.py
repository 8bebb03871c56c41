"""How long an idle fleet takes from a submitted task to its first step, committed."""

import time
from collections.abc import Callable, Iterator
from uuid import UUID

from bench.drain import reach
from bench.figures import Said, spread
from bench.fleet_run import AGENT, TEXT, BenchFleet, asked_at, bench_fleet
from fleet_client import FleetClient
from support.stacks import open_stack

_TASKS = 200
_WARM_UP = 20
_PAUSE_SECONDS = 0.03  # the task before is over: the fleet is idle again
_SLOTS = 100


def measure() -> Iterator[Said]:
    """Submit one task after another, over the broker and over HTTP."""
    with (
        open_stack("rabbitmq") as stack,
        bench_fleet(stack, slots=_SLOTS, janitor=True, web=True) as running,
    ):
        with running.fleet.client() as client:
            seconds = _waits(running, _submit(client))
        yield from spread("first_step.over_broker", seconds, 0.5, 0.99)
        with running.fleet.client(over_broker=False) as client:
            seconds = _waits(running, _submit(client))
        yield from spread("first_step.over_http", seconds, 0.5, 0.99)


def _submit(client: FleetClient) -> Callable[[], UUID]:
    return lambda: client.submit(TEXT, agent=AGENT).id


def _waits(running: BenchFleet, submit: Callable[[], UUID]) -> list[float]:
    """From just before a task is handed in until its first step is committed, in seconds."""
    waits = []
    for _ in range(_WARM_UP + _TASKS):
        before, begun = running.succeeded(), time.time()
        task_id = submit()
        reach(lambda: running.succeeded() > before, pause_seconds=0.005)  # noqa: B023 called at once
        waits.append(asked_at(running.stack, task_id) - begun)
        time.sleep(_PAUSE_SECONDS)
    return waits[_WARM_UP:]
