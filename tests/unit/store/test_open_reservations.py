"""What dead workers left reserved: counted where it may have been spent, given back where not."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, func, insert, select, update

from fleet_contracts.envelope import build_envelope
from fleet_contracts.states import TaskState
from fleet_workers.store import spend, tasks
from fleet_workers.store.accounts import add_tenant
from fleet_workers.store.money_tables import spend_entries
from fleet_workers.store.open_reservations import close_left_open
from fleet_workers.store.tables import steps
from fleet_workers.store.tables import tasks as rows
from support.databases import empty_tables
from unit.store.test_spend import expense, total

HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def _empty(engine: Engine) -> None:
    with engine.begin() as connection:
        empty_tables(connection)
        add_tenant(connection, "acme")


def ended(engine: Engine, state: TaskState, *, ago: timedelta = 2 * HOUR) -> UUID:
    envelope = build_envelope(tenant="acme", agent="billing", input="Hello")
    with engine.begin() as connection:
        assert tasks.accept(connection, envelope, traceparent=None)
        is_open = state in {TaskState.RUNNING, TaskState.RETRYING, TaskState.IN_REVIEW}
        connection.execute(
            update(rows)
            .where(rows.c.id == envelope.id)
            .values(state=state, finished_at=None if is_open else func.now() - ago)
        )
    return envelope.id


def reserve(engine: Engine, task_id: UUID, key: str, kind: str = "cost") -> str:
    name = f"{task_id}:{key}"
    plain = expense("3", key=name)
    with engine.begin() as connection:
        spend.reserve(connection, [replace(plain, task_id=task_id, kind=kind)])  # type: ignore[arg-type]
    return name


def begin(engine: Engine, task_id: UUID, seq: int, kind: str, **request: Any) -> None:
    values = {"task_id": task_id, "seq": seq, "epoch": 1, "kind": kind, "name": "x"}
    with engine.begin() as connection:
        connection.execute(insert(steps).values(**values, state="started", request=request))


def close(engine: Engine) -> int:
    with engine.begin() as connection:
        return close_left_open(connection, older_than=HOUR, limit=10)


def entries(engine: Engine) -> dict[str, tuple[str, Decimal]]:
    with engine.connect() as connection:
        found = connection.execute(select(spend_entries)).all()
    return {row.key.partition(":")[2]: (row.state, row.amount_usd) for row in found}


@pytest.mark.parametrize(
    "state", [TaskState.SUCCEEDED, TaskState.REJECTED, TaskState.CANCELLED, TaskState.EXPIRED]
)
def test_what_was_begun_stays_counted_and_what_was_not_is_given_back(
    engine: Engine, state: TaskState
) -> None:
    task_id = ended(engine, state)
    for key in ("plan:2", "plan:5", "plan:5:short", "plan:6:small", "7:0", "7:1"):
        reserve(engine, task_id, key)
    begin(engine, task_id, 2, "plan")
    begin(engine, task_id, 5, "tool", key=f"{task_id}:7:1")
    begin(engine, task_id, 6, "plan")
    assert close(engine) == 6
    assert entries(engine) == {
        "plan:2": ("spent", 3),
        "plan:5": ("released", 0),  # its number went to another step
        "plan:5:short": ("released", 0),
        "plan:6:small": ("spent", 3),
        "7:0": ("released", 0),
        "7:1": ("spent", 3),
    }
    assert total(engine, kind="cost") == 9
    assert close(engine) == 0


def test_both_sums_of_a_call_are_closed_together(engine: Engine) -> None:
    task_id = ended(engine, TaskState.CANCELLED)
    reserve(engine, task_id, "1:0", kind="cost")
    reserve(engine, task_id, "1:0", kind="moved")
    assert close(engine) == 1
    assert total(engine, kind="cost") == total(engine, kind="moved") == 0


@pytest.mark.parametrize("state", [TaskState.RUNNING, TaskState.RETRYING, TaskState.IN_REVIEW])
def test_a_task_that_goes_on_keeps_its_reservations(engine: Engine, state: TaskState) -> None:
    reserve(engine, ended(engine, state), "plan:2")
    assert close(engine) == 0


def test_a_worker_that_was_in_the_call_has_time_to_settle_it(engine: Engine) -> None:
    reserve(engine, ended(engine, TaskState.CANCELLED, ago=HOUR / 2), "plan:2")
    assert close(engine) == 0


def test_a_dead_task_that_may_come_back_keeps_its_calls_in_doubt(engine: Engine) -> None:
    task_id = ended(engine, TaskState.DEAD)
    reserve(engine, task_id, "plan:2")
    reserve(engine, task_id, "3:0")
    begin(engine, task_id, 2, "plan")
    begin(engine, task_id, 3, "tool", key=f"{task_id}:3:0")
    assert close(engine) == 1
    assert entries(engine) == {"plan:2": ("spent", 3), "3:0": ("reserved", 3)}


def test_two_janitors_do_not_wait_for_each_other(engine: Engine) -> None:
    task_id = ended(engine, TaskState.CANCELLED)
    reserve(engine, task_id, "plan:2")
    with engine.connect() as connection:
        assert close_left_open(connection, older_than=HOUR, limit=10) == 1
        assert close(engine) == 0
