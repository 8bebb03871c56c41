"""Pools that grow and shrink while they work: what is lost, run twice, or held against a task."""

import os
import signal
from collections import Counter
from contextlib import AbstractContextManager
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import Row, select

from bench.counting_worker import ASKED_FILE, HELD_SECONDS
from bench.fleet_run import DEFAULTS
from bench.instant_model import HOLD_ON
from fleet_client import FleetClient
from fleet_workers.embedded.scaling import Bounds, Rules
from fleet_workers.store.pools import Worker, workers_alive
from fleet_workers.store.tables import tasks
from support.bench import until
from support.scaled_pool import ScaledPool, scaled_pool
from support.stacks import Stack

AGENT, OTHER = "bench", "reader"
SOON = Rules(grow_after_seconds=0.5, settle_seconds=0.5, shrink_after_seconds=2)
SECONDS = 90.0
pytestmark = pytest.mark.timeout(300)  # some 20 s where the machine is not shared


def submit(stack: Stack, numbers: range) -> list[UUID]:
    """Tasks that hold a slot for a while."""
    with FleetClient(broker_url=stack.broker_url, tenant="acme") as client:
        items = ({"text": f"{HOLD_ON} task_{each}", "agent": AGENT} for each in numbers)
        return [result.handle.id for result in client.submit_many(items) if result.handle]


def rows(stack: Stack, ids: list[UUID]) -> list[Row[tuple[str, int, int]]]:
    query = select(tasks.c.state, tasks.c.attempts, tasks.c.epoch).where(tasks.c.id.in_(ids))
    with stack.engine.begin() as connection:
        return list(connection.execute(query))


def in_state(stack: Stack, ids: list[UUID], *states: str) -> int:
    return sum(row.state in states for row in rows(stack, ids))


def serving(stack: Stack, agent: str) -> list[Worker]:
    with stack.engine.begin() as connection:
        return [each for each in workers_alive(connection) if agent in each.agents]


def open_pool(
    stack: Stack,
    folder: Path,
    *,
    least: int,
    held_seconds: float = 1.5,
    stop_grace_seconds: float = 30.0,
) -> AbstractContextManager[ScaledPool]:
    (folder / "asked").touch()
    return scaled_pool(
        stack,
        folder,
        agent=AGENT,
        bounds=Bounds(least=least, most=least),
        slots=4,
        environment={
            **DEFAULTS,
            ASKED_FILE: str(folder / "asked"),
            HELD_SECONDS: str(held_seconds),
            "FLEET_LEASE_RENEWAL": "0.5",
        },
        rules=SOON,
        module="bench.counting_worker",
        stop_grace_seconds=stop_grace_seconds,
    )


def asked(folder: Path) -> Counter[str]:
    return Counter((folder / "asked").read_text().split())


def test_a_pool_shrinks_and_grows_in_full_work_without_a_task_lost_or_run_twice(
    stack: Stack, tmp_path: Path
) -> None:
    with open_pool(stack, tmp_path, least=2, held_seconds=3) as pool:
        pool.supervisor.add(pool.specs.pool_spec(OTHER, 1))
        ids = submit(stack, range(24))
        until(lambda: in_state(stack, ids, "running") == 8, seconds=SECONDS, what="full work")
        # Two processes of one pool have names of their own
        assert sorted(each.name or "" for each in serving(stack, AGENT)) == sorted(
            f"{os.uname().nodename}:{pid}" for pid in pool.pids().values()
        )
        # When one must end while all of its slots work
        pool.bound(Bounds())
        until(lambda: any(each.is_draining for each in serving(stack, AGENT)), what="an ending one")
        until(lambda: len(pool.pids()) == 1, seconds=SECONDS, what="its end")
        # And others come, for whom another may be added
        ids += submit(stack, range(24, 48))
        pool.bound(Bounds(most=2))
        until(lambda: len(pool.supervisor.standing()) == 4, seconds=SECONDS, what="a second one")
        until(lambda: in_state(stack, ids, "succeeded") == 48, seconds=SECONDS, what="all of them")
        # Then nothing was held against a task, and no model was asked twice
        assert {row.attempts for row in rows(stack, ids)} == {0}
        assert set(asked(tmp_path).values()) == {1}
        assert len(asked(tmp_path)) == 48
        until(lambda: len(pool.pids()) == 1, seconds=SECONDS, what="one process, as it is idle")
        assert not any("unexpectedly" in line for line in pool.lines)
        until(lambda: len(serving(stack, OTHER)) == 1, seconds=SECONDS, what="the other pool")


@pytest.mark.parametrize("end", ["grace", "kill"])
def test_what_does_not_end_in_its_grace_or_is_killed_while_it_ends_is_done_elsewhere(
    rabbitmq_stack: Stack, tmp_path: Path, end: str
) -> None:
    stack = rabbitmq_stack
    grace_seconds = 0.5 if end == "grace" else 30.0
    pool = open_pool(stack, tmp_path, least=2, held_seconds=4, stop_grace_seconds=grace_seconds)
    with pool as at_work:
        at_work.bound(Bounds(most=2))
        ids = submit(stack, range(16))
        until(lambda: in_state(stack, ids, "running") == 8, seconds=SECONDS, what="full work")
        name, *_ = at_work.names()
        pid = at_work.pids()[name]
        at_work.supervisor.retire(name)
        at_work.bound(Bounds())
        if end == "kill":
            until(lambda: len(at_work.names()) == 1, what="its leaving")
            os.kill(pid, signal.SIGKILL)
        until(lambda: in_state(stack, ids, "succeeded") == 16, seconds=SECONDS, what="all of them")
        assert {row.attempts for row in rows(stack, ids)} == {0}
        assert max(row.epoch for row in rows(stack, ids)) >= 2  # some were claimed anew
        assert len(asked(tmp_path)) == 16
        assert any("has ended" in line for line in at_work.lines)
        assert not any("unexpectedly" in line for line in at_work.lines)
