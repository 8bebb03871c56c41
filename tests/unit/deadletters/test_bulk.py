"""Bulk replays keep their rate, end once, and survive whoever works on them."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update

from fleet_workers.deadletters import bulk
from fleet_workers.deadletters.bulk import work_replays
from fleet_workers.store import replays, tables
from fleet_workers.store.dead_letters import DeadLetterFilter
from fleet_workers.store.replays import ReplayJob
from support.graveyard import Graveyard, Postbag


def request(graveyard: Graveyard, *, per_second: float, **wanted: Any) -> ReplayJob:
    with graveyard.engine.begin() as connection:
        return replays.request(
            connection, DeadLetterFilter(**wanted), per_second=per_second, by="ann"
        )


def read(graveyard: Graveyard, job_id: UUID) -> ReplayJob:
    with graveyard.engine.begin() as connection:
        job = replays.get(connection, job_id, tenant=None)
    assert job is not None
    return job


def wait(graveyard: Graveyard, seconds: float) -> None:
    """Let time pass for every job."""
    with graveyard.engine.begin() as connection:
        connection.execute(
            update(tables.replays).values(
                next_at=tables.replays.c.next_at - timedelta(seconds=seconds)
            )
        )


def work(graveyard: Graveyard, bag: Postbag) -> int:
    return work_replays(graveyard.engine, bag, graveyard.catalogue)  # type: ignore[arg-type]


def test_what_fits_is_replayed_oldest_first_and_the_rest_stays(graveyard: Graveyard) -> None:
    new = graveyard.dead(error="boom")
    old = graveyard.dead(error="BOOM 7", age=timedelta(hours=1))
    others = [
        graveyard.dead(error="bang"),
        graveyard.dead(error="boom", tenant="globex"),
        graveyard.dead(error="boom", reason="policy"),
    ]
    job = request(
        graveyard, per_second=1000, error="boom", tenant="acme", reason="attempts_used_up"
    )
    assert (job.matched, job.finished_at) == (2, None)
    bag = Postbag()
    while not read(graveyard, job.id).finished_at:
        work(graveyard, bag)
    assert bag.task_ids == [str(old.task_id), str(new.task_id)]
    assert (read(graveyard, job.id).replayed, read(graveyard, job.id).refused) == (2, 0)
    assert graveyard.read(old).settled_reason == f"replay {job.id}"
    assert all(graveyard.read(each).settled_at is None for each in others)


def test_the_rate_holds_however_often_it_is_worked_on(graveyard: Graveyard) -> None:
    for _ in range(30):
        graveyard.dead()
    request(graveyard, per_second=10)
    bag = Postbag()
    begun = time.monotonic()
    while time.monotonic() - begun < 1.0:
        work(graveyard, bag)
        time.sleep(0.02)
    elapsed = time.monotonic() - begun
    assert 5 <= len(bag.letters) <= 1 + 10 * elapsed


def test_a_rate_above_the_rounds_sends_several_a_round(graveyard: Graveyard) -> None:
    for _ in range(60):
        graveyard.dead()
    request(graveyard, per_second=4)
    bag = Postbag()
    assert 1 <= work(graveyard, bag) <= 3
    wait(graveyard, 1)
    assert 4 <= work(graveyard, bag) <= 7
    # After a long stillness it does not catch up with all at once
    wait(graveyard, 3600)
    assert 8 <= work(graveyard, bag) <= 12


def test_what_cannot_be_replayed_is_refused_once_with_its_reason(graveyard: Graveyard) -> None:
    letters = [graveyard.dead() for _ in range(3)]
    graveyard.set_task(letters[1].task_id, state="running")
    unreadable = graveyard.letter(reason="attempts_used_up", error="?", body="{")
    job = request(graveyard, per_second=1000, reason="attempts_used_up")
    bag = Postbag()
    for _ in range(10):
        work(graveyard, bag)
        wait(graveyard, 1)
    done = read(graveyard, job.id)
    assert done.finished_at is not None
    assert (done.matched, done.replayed, done.refused) == (4, 2, 2)
    assert {each["id"]: each["code"] for each in done.refusals} == {
        str(letters[1].id): "not_dead",
        str(unreadable.id): "invalid_envelope",
    }
    assert graveyard.read(unreadable).settled_at is None


def test_the_same_request_while_it_is_open_is_the_same_job(graveyard: Graveyard) -> None:
    graveyard.dead()
    together = Barrier(8)

    def ask(rate: float) -> UUID:
        together.wait()
        return request(graveyard, per_second=rate, agent="parcels").id

    with ThreadPoolExecutor(8) as pool:
        asked = [set(pool.map(ask, [rate] * 8)) for rate in (20, 21, 22, 23, 24)]
    assert [len(ids) for ids in asked] == [1] * 5
    assert len(set.union(*asked)) == 5
    (first,) = asked[0]
    bag = Postbag()
    while not read(graveyard, first).finished_at:
        work(graveyard, bag)
        wait(graveyard, 1)
    again = request(graveyard, per_second=20, agent="parcels")
    assert (again.matched, again.finished_at is not None) == (0, True)
    assert len(bag.letters) == 1


def test_a_task_that_dies_again_does_not_go_round(graveyard: Graveyard) -> None:
    first = graveyard.dead()
    second = graveyard.dead()
    job = request(graveyard, per_second=1)
    bag = Postbag()
    assert work(graveyard, bag) == 1
    graveyard.set_task(first.task_id, state="dead")
    graveyard.letter(
        reason="attempts_used_up", error="Again.", body=first.body, task_id=first.task_id,
        tenant="acme", agent="parcels",
    )  # fmt: skip
    while not read(graveyard, job.id).finished_at:
        work(graveyard, bag)
        wait(graveyard, 1)
    assert bag.task_ids == [str(first.task_id), str(second.task_id)]


def test_many_at_once_replay_each_letter_once(graveyard: Graveyard) -> None:
    letters = [graveyard.dead() for _ in range(120)]
    stuck = letters[5::12]
    for letter in stuck:
        graveyard.set_task(letter.task_id, state="running")
    jobs = [
        request(graveyard, per_second=500, agent="parcels"),
        request(graveyard, per_second=400, tenant="acme"),
    ]
    bag = Postbag()

    def janitor(_: int) -> None:
        while any(read(graveyard, job.id).finished_at is None for job in jobs):
            work(graveyard, bag)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(janitor, range(4)))
    free = [str(each.task_id) for each in letters if each not in stuck]
    assert sorted(bag.task_ids) == sorted(free)
    done = [read(graveyard, job.id) for job in jobs]
    assert sum(job.replayed for job in done) == len(free)
    assert [job.refused for job in done] == [10, 10]


def test_a_turn_that_breaks_in_the_middle_leaves_nothing_half_done(
    graveyard: Graveyard, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        graveyard.dead()
    job = request(graveyard, per_second=1000)
    wait(graveyard, 1)
    real = bulk.replay_letter
    seen: list[UUID] = []

    def dies_at_the_third(connection: Any, letter_id: UUID, **more: Any) -> Any:
        seen.append(letter_id)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return real(connection, letter_id, **more)

    monkeypatch.setattr(bulk, "replay_letter", dies_at_the_third)
    bag = Postbag()
    with pytest.raises(KeyboardInterrupt):
        work(graveyard, bag)
    assert (graveyard.count("outbox"), bag.letters) == (0, [])
    monkeypatch.undo()
    while not read(graveyard, job.id).finished_at:
        work(graveyard, bag)
    assert len(set(bag.task_ids)) == len(bag.letters) == 5


def test_jobs_of_one_tenant_do_not_touch_another(graveyard: Graveyard) -> None:
    theirs = graveyard.dead(tenant="globex")
    graveyard.dead(tenant="acme")
    job = request(graveyard, per_second=1000, tenant="acme")
    with graveyard.engine.begin() as connection:
        assert replays.get(connection, job.id, tenant="globex") is None
    bag = Postbag()
    while not read(graveyard, job.id).finished_at:
        work(graveyard, bag)
    assert graveyard.read(theirs).settled_at is None
