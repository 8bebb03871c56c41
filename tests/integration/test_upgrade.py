"""A fleet at work is brought to the next version: old and new processes side by side."""

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID, uuid4

import httpx2
import pytest
from sqlalchemy import select, text

import fleet_workers
from fleet_client import FleetClient
from fleet_workers.store import tables
from fleet_workers.store.version import TABLES_VERSION
from fleet_workers.testing import answer, call, stall
from support.bench import Bench, script, until
from support.fleet_processes import FleetProcess
from support.parcels_fleet import open_bench
from support.stacks import Stack, open_stack

_NEXT = f"{int(TABLES_VERSION) + 1:04}"
_MIGRATION = f'''
"""What the next version of the fleet adds."""

from alembic import op

from fleet_workers.store import online

revision = "{_NEXT}"
down_revision = "{TABLES_VERSION}"
works_with = "{TABLES_VERSION}"


def upgrade() -> None:
    op.execute("ALTER TABLE tasks ADD COLUMN colour text NOT NULL DEFAULT 'none'")
    op.execute("ALTER TABLE reviews ADD COLUMN colour text NOT NULL DEFAULT 'none'")
    online.create_index("tasks_colour", "tasks", "colour, created_at")
'''


@pytest.fixture(scope="module")
def own_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A fleet whose store nobody else uses."""
    with (
        open_stack("rabbitmq") as stack,
        open_bench(stack, tmp_path_factory.mktemp("upgrade")) as bench,
    ):
        yield bench


@pytest.fixture(scope="module")
def next_version(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with the workers' code of the next version, for PYTHONPATH."""
    folder = tmp_path_factory.mktemp("next")
    copy = folder / "fleet_workers"
    shutil.copytree(
        Path(fleet_workers.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__")
    )
    store = copy / "store"
    (store / "migrations" / "versions" / f"{_NEXT}_next.py").write_text(_MIGRATION)
    version = store / "version.py"
    version.write_text(version.read_text().replace(f'"{TABLES_VERSION}"', f'"{_NEXT}"'))
    return str(folder)


class Customers:
    """Four callers, each of whom asks for a refund, waits for it, and asks for the next."""

    def __init__(self, bench: Bench) -> None:
        self.orders: dict[UUID, str] = {}
        self.answers: list[str | None] = []
        self._bench = bench
        self._enough = threading.Event()

    @contextmanager
    def ask(self) -> Iterator[None]:
        with ThreadPoolExecutor(4) as callers:
            asking = [callers.submit(self._go_on) for _ in range(4)]
            try:
                yield
            finally:
                self._enough.set()
            for each in asking:
                each.result(60)

    def _go_on(self) -> None:
        with self._bench.fleet.client() as client:
            while not self._enough.is_set():
                self._ask_once(client)

    def _ask_once(self, client: FleetClient) -> None:
        order = f"ord_{uuid4().int % 10**9}"
        lines = [
            call("track_parcel", order_id=order),
            stall(0.1),
            call("refund_order", order_id=order, amount_usd="40"),
            answer("Refunded."),
        ]
        task = client.submit(script(self._bench, *lines), agent="parcels")
        self.orders[task.id] = order
        self.answers.append(task.wait(timeout=60).outcome.answer)


@pytest.mark.timeout(180)
def test_old_and_new_work_side_by_side_and_no_task_is_lost_or_done_twice(
    own_bench: Bench, next_version: str
) -> None:
    fleet, stack = own_bench.fleet, own_bench.fleet.stack
    old_web = fleet.api_url
    customers = Customers(own_bench)
    with customers.ask():
        until(lambda: len(customers.answers) > 4, what="the first answers")

        _upgrade(stack, next_version)
        assert _version(stack) == _NEXT
        assert httpx2.get(f"{old_web}/readyz", timeout=5).status_code == 200

        # Of both versions one more starts: the new ones, and an old one that was moved.
        new = fleet.start_worker("parcels", "auto", PYTHONPATH=next_version)
        old = fleet.start_worker("parcels", "auto")
        fleet.wait_ready()
        both = {_pid(new), _pid(old), _pid(own_bench.worker)}
        until(lambda: both <= _worked(stack), seconds=40, what="work of all three")

        for each in (own_bench.worker, old):
            each.process.terminate()
        for each in (own_bench.worker, old):
            each.process.wait(30)
            each.was_ended = True
        so_far = len(customers.answers)
        until(lambda: len(customers.answers) > so_far + 8, what="answers of the new worker alone")

    assert set(customers.answers) == {"Refunded."}
    for order in customers.orders.values():
        assert own_bench.shop.effects_on(order) == ["refund"]


def _upgrade(stack: Stack, code: str) -> None:
    subprocess.run(
        (sys.executable, "-P", "-m", "fleet_workers.cli", "db", "upgrade"),
        env={"PYTHONPATH": code, "PATH": "/usr/bin:/bin", **stack.environment()},
        check=True,
        timeout=60,
    )


def _version(stack: Stack) -> str:
    with stack.engine.connect() as connection:
        return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar())


def _pid(process: FleetProcess) -> str:
    return str(process.process.pid)


def _worked(stack: Stack) -> set[str]:
    """The process ids of the workers that hold or ended a task."""
    time.sleep(0.02)
    with stack.engine.connect() as connection:
        rows = connection.execute(select(tables.tasks.c.worker).distinct())
        return {str(row.worker).rpartition(":")[2] for row in rows}
