"""Tasks that wait for their time, and of which a later one takes the place."""

import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, text, update

from fleet_contracts.envelope import TaskEnvelope, build_envelope
from fleet_contracts.outcome import TaskView
from fleet_contracts.states import TaskState
from fleet_workers.store import (
    claims,
    debounce,
    put_off,
    recovery,
    sessions,
    tables,
    tasks,
    views,
    waiting_reviews,
)
from fleet_workers.store.claims import Claim, Holder

LEASE = timedelta(seconds=30)
HOLDER = Holder(worker="w1", presence=1, lease=LEASE, silence=LEASE)
NEVER_TOLD = timedelta(0)


@pytest.fixture(autouse=True)
def _empty(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("TRUNCATE tasks, outbox, debounce_windows"))
        connection.execute(text("INSERT INTO tenants VALUES ('acme') ON CONFLICT DO NOTHING"))


def submitted(engine: Engine, at: datetime | None = None, **fields: Any) -> TaskEnvelope:
    values = {"tenant": "acme", "agent": "billing", "input": "hello", **fields}
    envelope = build_envelope(**values)
    with engine.begin() as connection:
        assert tasks.accept(connection, envelope, traceparent=None, submitted_at=at)
    return envelope


def debounced(engine: Engine, key: str = "k", seconds: float = 60, **more: Any) -> TaskEnvelope:
    return submitted(engine, debounce_key=key, debounce_seconds=seconds, **more)


def seen(engine: Engine, task: TaskEnvelope | UUID) -> TaskView:
    task_id = task.id if isinstance(task, TaskEnvelope) else task
    with engine.begin() as connection:
        found = views.view(connection, task_id, tenant="acme")
    assert found is not None
    return found


def claimed(engine: Engine, task: TaskEnvelope) -> Claim | None:
    with engine.begin() as connection:
        if task.session_id is not None:
            sessions.lock(connection, task)
        return claims.claim(connection, task.id, HOLDER)


def made_due(engine: Engine) -> list[UUID]:
    with engine.begin() as connection:
        return put_off.make_due(connection, limit=1000)


def let_pass(engine: Engine, seconds: float) -> None:
    """As if so much time had gone by since all that stands in the store."""
    columns = {
        "tasks": ("due_at", "created_at", "submitted_at", "woken_at"),
        "debounce_windows": (
            "opened_at",
            "submitted_at",
            "came_at",
            "closes_at",
            "kept_until",
        ),
    }
    with engine.begin() as connection:
        for table, names in columns.items():
            changes = ", ".join(f"{name} = {name} - :passed" for name in names)
            statement = text(f"UPDATE {table} SET {changes}")  # noqa: S608 constants of this test
            connection.execute(statement, {"passed": timedelta(seconds=seconds)})


def due_in(engine: Engine, task: TaskEnvelope) -> float:
    due_at = seen(engine, task).due_at
    assert due_at is not None
    return (due_at - datetime.now(UTC)).total_seconds()


def test_a_delayed_task_is_nobodys_until_its_time_has_come(engine: Engine) -> None:
    task = submitted(engine, not_before=datetime.now(UTC) + timedelta(hours=1))
    assert 3595 < due_in(engine, task) <= 3600
    assert claimed(engine, task) is None
    assert made_due(engine) == []
    # When nobody has heard of it for a long time, nor has the broker a message
    let_pass(engine, 1800)
    with engine.begin() as connection:
        tasks.mark_unwoken(connection, task.id)
        assert recovery.requeue_unwoken(connection, limit=10) == []
        assert recovery.count_forgotten(connection, silence=NEVER_TOLD) == {}
        assert waiting_reviews.queued_by_agent(connection) == {}
        assert (
            recovery.requeue_forgotten(connection, agent="billing", silence=NEVER_TOLD, limit=10)
            == []
        )
    assert claimed(engine, task) is None
    # Then its time comes
    let_pass(engine, 1801)
    assert made_due(engine) == [task.id]
    assert made_due(engine) == []
    assert seen(engine, task).due_at is None
    assert claimed(engine, task) is not None


def test_a_time_that_has_passed_puts_nothing_off(engine: Engine) -> None:
    for passed in ("0001-01-01T00:00:00+23:00", datetime.now(UTC) - timedelta(seconds=1)):
        task = submitted(engine, not_before=passed)
        with engine.begin() as connection:
            assert not put_off.waits(connection, task)
        assert claimed(engine, task) is not None


def test_a_delayed_task_can_be_cancelled_and_expires(engine: Engine) -> None:
    now = datetime.now(UTC)
    cancelled = submitted(engine, not_before=now + timedelta(hours=1))
    late = submitted(engine, not_before=now + timedelta(hours=1), deadline=now + timedelta(hours=2))
    with engine.begin() as connection:
        assert tasks.cancel(connection, cancelled.id, tenant="acme")
        connection.execute(update(tables.tasks).values(deadline=now))
        assert recovery.expire_overdue(connection, limit=10) == [late.id]
    let_pass(engine, 4000)
    assert made_due(engine) == []
    assert seen(engine, cancelled).state is TaskState.CANCELLED
    assert seen(engine, late).state is TaskState.EXPIRED


def test_what_is_put_off_does_not_hold_its_session_and_comes_behind_it(engine: Engine) -> None:
    delayed = submitted(
        engine, session_id="s", not_before=datetime.now(UTC) + timedelta(seconds=50)
    )
    let_pass(engine, 10)
    later = submitted(engine, session_id="s")
    assert claimed(engine, later) is not None
    # When it is due while another of its session runs, it waits for its turn as if it were new
    let_pass(engine, 50)
    assert made_due(engine) == [delayed.id]
    assert claimed(engine, delayed) is None


def test_the_last_of_a_key_runs_once_and_the_others_name_it(engine: Engine) -> None:
    first, second, third = (debounced(engine, input=f"order {n}") for n in range(3))
    other = debounced(engine, key="another")
    elsewhere = debounced(engine, agent="onboarding")
    for replaced in (first, second):
        found = seen(engine, replaced)
        assert found.state is TaskState.CANCELLED
        assert found.settled
        assert found.outcome is not None
        assert found.outcome.replaced_by == third.id
    assert str(second.id) in str(seen(engine, first).outcome)
    let_pass(engine, 61)
    assert set(made_due(engine)) == {third.id, other.id, elsewhere.id}
    assert claimed(engine, first) is None
    assert claimed(engine, third) is not None


def test_each_later_one_puts_the_run_off_but_not_beyond_the_longest_wait(engine: Engine) -> None:
    debounced(engine, debounce_max_seconds=100)
    let_pass(engine, 50)
    assert 45 < due_in(engine, debounced(engine, debounce_max_seconds=100)) <= 50
    let_pass(engine, 40)
    assert 0 < due_in(engine, last := debounced(engine, debounce_max_seconds=100)) <= 10
    # When the longest wait is over and no janitor has come, a later one begins anew
    let_pass(engine, 11)
    following = debounced(engine, debounce_max_seconds=100)
    assert made_due(engine) == [last.id]
    assert due_in(engine, following) > 55


def test_one_that_runs_is_not_replaced(engine: Engine) -> None:
    running = debounced(engine)
    let_pass(engine, 61)
    made_due(engine)
    assert claimed(engine, running) is not None
    following = debounced(engine)
    assert seen(engine, running).state is TaskState.RUNNING
    assert due_in(engine, following) > 55


def test_a_cancelled_one_is_not_replaced_and_opens_the_way(engine: Engine) -> None:
    cancelled = debounced(engine)
    with engine.begin() as connection:
        assert tasks.cancel(connection, cancelled.id, tenant="acme")
    following = debounced(engine)
    assert seen(engine, cancelled).outcome is None
    assert seen(engine, following).state is TaskState.QUEUED


@pytest.mark.parametrize("has_run", [False, True])
def test_an_old_message_that_comes_late_is_replaced_itself(engine: Engine, has_run: bool) -> None:
    newest = debounced(engine)
    if has_run:
        let_pass(engine, 61)
        made_due(engine)
        assert claimed(engine, newest) is not None
    old = debounced(engine, at=datetime.now(UTC) - timedelta(seconds=90))
    found = seen(engine, old)
    assert found.state is TaskState.CANCELLED
    assert found.outcome is not None
    assert found.outcome.replaced_by == newest.id
    # An hour later the key is forgotten, and a window that is open is not
    debounced(engine, key="open", seconds=80_000)
    let_pass(engine, 3720)
    with engine.begin() as connection:
        assert debounce.tidy(connection, limit=10) == 1


def test_whoever_waits_for_the_reply_of_a_replaced_one_is_told(engine: Engine) -> None:
    debounced(engine, reply_to="reply.orders")
    last = debounced(engine, reply_to="reply.orders")
    with engine.begin() as connection:
        letters = connection.execute(text("SELECT routing_key, body FROM outbox")).all()
    assert [letter.routing_key for letter in letters] == ["reply.orders"]
    assert str(last.id) in letters[0].body


def test_a_repeat_of_a_replaced_task_is_that_task(engine: Engine) -> None:
    first = debounced(engine, idempotency_key="a")
    last = debounced(engine, idempotency_key="b")
    with engine.begin() as connection:
        assert not tasks.accept(connection, first, traceparent=None)
    assert seen(engine, first).state is TaskState.CANCELLED
    assert seen(engine, last).state is TaskState.QUEUED


def test_a_clock_that_was_put_back_makes_no_debounced_task_wait(engine: Engine) -> None:
    waiting = debounced(engine)
    delayed = submitted(engine, not_before=datetime.now(UTC) + timedelta(hours=1))
    let_pass(engine, -7200)
    following = debounced(engine)
    assert set(made_due(engine)) == {waiting.id}
    assert 59 < due_in(engine, following) <= 60
    assert seen(engine, delayed).due_at is not None


def test_of_many_producers_at_once_the_last_of_each_key_runs_once(engine: Engine) -> None:
    keys = [f"key {n}" for n in range(5)]
    number = 160
    start = threading.Barrier(8)

    def submit_some(seed: int) -> None:
        dice = random.Random(seed)  # noqa: S311 no secret
        start.wait()
        for _ in range(number // 8):
            debounced(engine, key=dice.choice(keys))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(submit_some, range(8)))
    with engine.begin() as connection:
        last = set(
            connection.execute(
                text(
                    "SELECT DISTINCT ON (envelope ->> 'debounce_key') id FROM tasks"
                    " ORDER BY envelope ->> 'debounce_key', submitted_at DESC"
                )
            ).scalars()
        )
    # When janitors look for what is due at the same moment, one of them finds each
    let_pass(engine, 61)
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: made_due(engine), range(3)))
    assert Counter(each for part in found for each in part) == Counter(last)
    with engine.begin() as connection:
        states = connection.execute(text("SELECT state FROM tasks")).scalars()
        assert Counter(states) == {"queued": 5, "cancelled": number - 5}


def test_nobody_waits_for_another_who_is_at_the_same_key(engine: Engine) -> None:
    with engine.begin() as connection:
        first = build_envelope(
            tenant="acme", agent="billing", input="x", debounce_key="k", debounce_seconds=60
        )
        tasks.accept(connection, first, traceparent=None)
        # Given a transaction that stays open, others are taken in meanwhile
        others = [debounced(engine) for _ in range(3)]
    assert [seen(engine, each).state for each in (first, *others)] == [TaskState.QUEUED] * 4
    # Then their key is settled when a task of it is due
    let_pass(engine, 61)
    assert made_due(engine) == [others[-1].id]
    assert seen(engine, first).state is TaskState.CANCELLED


def test_windows_that_ended_while_no_janitor_was_there_run_each_with_its_last(
    engine: Engine,
) -> None:
    lasts = []
    for _ in range(3):
        debounced(engine)
        lasts.append(debounced(engine).id)
        let_pass(engine, 61)
    assert sorted(made_due(engine)) == sorted(lasts)


def test_the_end_of_a_long_chain_is_found_at_once(engine: Engine) -> None:
    ids = [uuid4() for _ in range(1000)]
    last = debounced(engine)
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO tasks (id, tenant, agent, requested_agent, state, envelope,"
                " content_hash, outcome)"
                " SELECT id, 'acme', 'billing', 'billing', 'cancelled', '{\"metadata\": {}}', '',"
                " jsonb_build_object('kind', 'cancelled', 'replaced_by', next)"
                " FROM unnest(CAST(:ids AS uuid[]), CAST(:following AS uuid[])) AS chain (id, next)"
            ),
            {"ids": ids, "following": [*ids[1:], last.id]},
        )
    begun = time.monotonic()
    outcome = seen(engine, ids[0]).outcome
    assert time.monotonic() - begun < 15
    assert outcome is not None
    assert outcome.replaced_by == last.id
