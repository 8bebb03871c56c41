"""Tasks that wait for their time, the same on both stacks and whichever way they come."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from sqlalchemy import text

from fleet_client import Debounce
from fleet_contracts.states import TaskState
from fleet_workers.testing import answer
from support.bench import TRACK_AND_TELL, Bench, script, until, view
from support.stacks import Stack


@pytest.mark.parametrize("over_broker", [True, False], ids=["broker", "http"])
def test_a_delayed_task_runs_when_its_time_has_come(
    bench: Bench, stack: Stack, over_broker: bool
) -> None:
    start = datetime.now(UTC) + timedelta(seconds=3)
    with bench.fleet.client(over_broker=over_broker) as client:
        task = client.submit(script(bench, *TRACK_AND_TELL), agent="parcels", not_before=start)
        early = until(lambda: view(stack, task.id), what="the task")
        assert (early.state, early.due_at) == (TaskState.QUEUED, start)
        cancelled = client.submit(script(bench), agent="parcels", delay=3600)
        until(lambda: view(stack, cancelled.id), what="the task")
        assert cancelled.cancel().state is TaskState.CANCELLED
        done = task.wait(timeout=40)
    assert done.state is TaskState.SUCCEEDED
    assert done.started_at is not None
    assert done.started_at >= start


def test_of_many_with_one_key_the_last_runs_and_the_others_lead_to_it(
    bench: Bench, stack: Stack
) -> None:
    key = script(bench, answer("All is told."))
    debounce = Debounce(key=key, seconds=4, max_seconds=60)
    with bench.fleet.client() as broker, bench.fleet.client(over_broker=False) as web:

        def submit(number: int) -> object:
            client = broker if number % 2 else web
            words = f"{number} {key}"
            return client.submit(words, agent="parcels", debounce=debounce).id

        with ThreadPoolExecutor(8) as pool:
            ids = list(pool.map(submit, range(60)))
        last = broker.submit(f"the last {key}", agent="parcels", debounce=debounce)
        done = broker.wait(ids[0], timeout=60, follow=True)
        assert (done.id, done.state) == (last.id, TaskState.SUCCEEDED)
        told = broker.wait(ids[1], timeout=20)
        assert told.state is TaskState.CANCELLED
        assert told.outcome.replaced_by == last.id
    with stack.engine.begin() as connection:
        rows = connection.execute(
            text("SELECT state FROM tasks WHERE envelope ->> 'debounce_key' = :key"), {"key": key}
        )
        assert Counter(rows.scalars()) == {"cancelled": 60, "succeeded": 1}


def test_a_schedule_comes_to_a_task_that_runs(bench: Bench, stack: Stack) -> None:
    headers = {"Authorization": f"Bearer {stack.api_key}"}
    task = {"agent": "parcels", "input": script(bench, *TRACK_AND_TELL)}
    body = {"name": "each year", "cron": "0 3 1 1 *", "task": task}
    with httpx2.Client(base_url=bench.fleet.api_url, headers=headers, timeout=20) as http:
        place = http.post("/v1/schedules", json=body).raise_for_status().headers["Location"]
        with stack.engine.begin() as connection:  # as if it were the first of January
            connection.execute(
                text(
                    "UPDATE schedules SET cron = '* * * * *',"
                    " next_at = date_trunc('minute', now()) WHERE name = :name"
                ),
                {"name": body["name"]},
            )
        fired = until(
            lambda: (seen := http.get(place).json())["last_task"] and seen, what="its time"
        )
        http.patch(place, json={"enabled": False}).raise_for_status()
        done = http.get(f"/v1/tasks/{fired['last_task']}", params={"wait_seconds": 20}).json()
    assert done["state"] == "succeeded"
    assert done["metadata"]["schedule"] == "each year"
