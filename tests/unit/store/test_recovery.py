"""What janitors find, and that any number of them may look at once."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, func, select, update

from fleet_contracts.envelope import build_envelope
from fleet_contracts.errors import InvalidEnvelope, LeaseLost
from fleet_contracts.states import TaskState
from fleet_workers.store import claims, pauses, recovery, tables, tasks
from fleet_workers.store.claims import Claim, Holder
from fleet_workers.store.journal import StepKind, StoredJournal
from support.databases import empty_tables

LONG = timedelta(minutes=5)
HOLDER = Holder(worker="w1", presence=1, lease=LONG, silence=LONG)
PAST = func.now() - timedelta(days=1)


@pytest.fixture(autouse=True)
def _empty(engine: Engine) -> None:
    with engine.begin() as connection:
        empty_tables(connection)


def accepted(engine: Engine, number: int = 1, **fields: Any) -> list[UUID]:
    found = []
    with engine.begin() as connection:
        for _ in range(number):
            values = {"tenant": "acme", "agent": "billing", "input": "hello", **fields}
            envelope = build_envelope(**values)
            tasks.accept(connection, envelope, traceparent=None)
            found.append(envelope.id)
    return found


def set_all(engine: Engine, ids: Sequence[UUID], **values: Any) -> None:
    with engine.begin() as connection:
        connection.execute(update(tables.tasks).where(tables.tasks.c.id.in_(ids)).values(**values))


def states(engine: Engine, ids: Sequence[UUID]) -> list[str]:
    with engine.begin() as connection:
        query = select(tables.tasks.c.id, tables.tasks.c.state).where(tables.tasks.c.id.in_(ids))
        found = {row.id: row.state for row in connection.execute(query)}
    return [found[task_id] for task_id in ids]


def claim_of(connection: Connection, task_id: UUID) -> Claim:
    claim = claims.claim(connection, task_id, HOLDER)
    assert claim is not None
    return claim


def make_due(engine: Engine, ids: Sequence[UUID]) -> None:
    set_all(engine, ids, state="retrying", due_at=PAST)


def make_abandoned(engine: Engine, ids: Sequence[UUID]) -> None:
    set_all(engine, ids, state="running", lease_until=PAST, silent_from=PAST, presence=7, epoch=1)


def make_unwoken(engine: Engine, ids: Sequence[UUID]) -> None:
    set_all(engine, ids, woken_at=None)


def make_forgotten(engine: Engine, ids: Sequence[UUID]) -> None:
    set_all(engine, ids, woken_at=PAST)


def look_for_forgotten(connection: Connection, *, limit: int) -> list[UUID]:
    return recovery.requeue_forgotten(
        connection, agent="billing", silence=timedelta(seconds=10), limit=limit
    )


LOOKS = {
    "due": (make_due, recovery.requeue_due),
    "abandoned": (make_abandoned, recovery.requeue_abandoned),
    "unwoken": (make_unwoken, recovery.requeue_unwoken),
    "forgotten": (make_forgotten, look_for_forgotten),
}


@pytest.mark.parametrize(("make", "look"), LOOKS.values(), ids=LOOKS)
def test_janitors_who_look_at_once_share_the_work(engine: Engine, make: Any, look: Any) -> None:
    ids = accepted(engine, 30)
    make(engine, ids)

    def work() -> list[UUID]:
        mine: list[UUID] = []
        while True:
            with engine.begin() as connection:
                found = look(connection, limit=4)
            if not found:
                return mine
            mine += found

    with ThreadPoolExecutor(4) as pool:
        shares = list(pool.map(lambda _: work(), range(4)))
    assert sorted(task_id for share in shares for task_id in share) == sorted(ids)
    assert set(states(engine, ids)) == {TaskState.QUEUED}


@pytest.mark.parametrize(("make", "look"), LOOKS.values(), ids=LOOKS)
def test_a_janitor_passes_over_what_another_holds(engine: Engine, make: Any, look: Any) -> None:
    ids = accepted(engine, 3)
    make(engine, ids)
    with engine.begin() as first, engine.begin() as second:
        taken = look(first, limit=2)
        assert len(taken) == 2
        assert look(second, limit=10) == [task_id for task_id in ids if task_id not in taken]


def test_what_is_not_due_yet_and_what_is_held_stays(engine: Engine) -> None:
    waiting, held = accepted(engine, 2)
    set_all(engine, [waiting], state="retrying", due_at=func.now() + timedelta(minutes=1))
    with engine.begin() as connection:
        claim_of(connection, held)
        for _, look in LOOKS.values():
            assert look(connection, limit=10) == []


def test_whose_task_was_given_to_others_writes_nothing_more(engine: Engine) -> None:
    (task_id,) = accepted(engine)
    with engine.begin() as connection:
        claim = claim_of(connection, task_id)
    journal = StoredJournal(engine, claim)
    make_abandoned(engine, [task_id])
    with engine.begin() as connection:
        assert recovery.requeue_abandoned(connection, limit=10) == [task_id]
    # Even where nobody has claimed it since
    with pytest.raises(LeaseLost):
        journal.begin(StepKind.PLAN, "billing", {})
    with pytest.raises(LeaseLost):
        journal.resume(0)


def test_a_worker_hands_back_only_what_it_holds(engine: Engine) -> None:
    mine, lost = accepted(engine, 2)
    with engine.begin() as connection:
        held = {task_id: claim_of(connection, task_id).epoch for task_id in (mine, lost)}
    make_abandoned(engine, [lost])
    with engine.begin() as connection:
        recovery.requeue_abandoned(connection, limit=10)
        claim_of(connection, lost)  # another worker has it now
    with engine.begin() as connection:
        assert recovery.requeue_held(connection, {**held, lost: held[lost] - 1}) == [mine]
    assert states(engine, [mine, lost]) == [TaskState.QUEUED, TaskState.RUNNING]


def test_a_paused_task_is_woken_once_it_may_run(engine: Engine) -> None:
    paused, other = accepted(engine)[0], accepted(engine, tenant="globex")[0]
    make_unwoken(engine, [paused, other])
    with engine.begin() as connection:
        pauses.pause(connection, agent="*", tenant="acme", reason="r", paused_by="p")
        assert recovery.requeue_unwoken(connection, limit=10) == [other]
        assert claims.claim(connection, paused, HOLDER) is None
        pauses.resume(connection, agent="*", tenant="acme", resumed_by="p")
        assert recovery.requeue_unwoken(connection, limit=10) == [paused]


def test_only_a_queued_task_is_buried_for_its_envelope(engine: Engine) -> None:
    queued, running = accepted(engine, 2)
    with engine.begin() as connection:
        claim_of(connection, running)
        for task_id in (queued, running, queued):
            recovery.bury_broken(connection, task_id, error=InvalidEnvelope("It is broken."))
        letters = connection.execute(select(tables.dead_letters)).all()
    assert states(engine, [queued, running]) == [TaskState.DEAD, TaskState.RUNNING]
    assert [(letter.task_id, letter.reason) for letter in letters] == [(queued, "corrupt_task")]
