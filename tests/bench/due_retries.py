"""How late a task goes on that waits for its next attempt, with one janitor at work."""

import time
from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from bench.drain import reach
from bench.figures import Said, spread
from bench.fleet_run import AGENT, asked_at, bench_fleet
from bench.instant_model import PUT_OFF
from fleet_workers.store.tables import tasks
from support.stacks import Stack, open_stack

_TASKS = 100
_PAUSE_SECONDS = 0.1  # due times are spread over ten seconds
_SLOTS = 100


def measure() -> Iterator[Said]:
    """Refuse each task once, for a second; look when its model is asked again."""
    with (
        open_stack("rabbitmq") as stack,
        bench_fleet(stack, slots=_SLOTS, janitor=True) as running,
        running.fleet.client() as client,
    ):
        due: dict[UUID, datetime] = {}
        for number in range(_TASKS):
            client.submit(f"{PUT_OFF} {number}", agent=AGENT)
            due.update(_waiting(stack))
            time.sleep(_PAUSE_SECONDS)

        def all_done() -> bool:
            due.update(_waiting(stack))
            return running.succeeded() == _TASKS

        reach(all_done)
        late = [asked_at(stack, task_id) - at.timestamp() for task_id, at in due.items()]
    yield from spread("due.lateness", late, 0.5, 0.95)


def _waiting(stack: Stack) -> dict[UUID, datetime]:
    query = select(tasks.c.id, tasks.c.due_at).where(tasks.c.state == "retrying")
    with stack.engine.begin() as connection:
        return {row.id: row.due_at for row in connection.execute(query)}
