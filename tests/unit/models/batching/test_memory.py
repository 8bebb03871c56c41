"""What is remembered of batches that failed, and for how long."""

from fleet_workers.models.batching import memory
from fleet_workers.models.batching.memory import ALONE, Company, Memory


def test_with_whom_a_task_shares_is_told_once() -> None:
    kept = Memory()
    half = Company(part="a", size=4)
    kept.remember("1", half)
    kept.remember("1", ALONE)
    assert kept.take("1") is ALONE
    assert kept.take("1") is None


def test_of_too_many_tasks_the_oldest_are_forgotten(monkeypatch: object) -> None:
    kept = Memory()
    for number in range(memory.MOST_TASKS + 3):
        kept.remember(str(number), ALONE)
    assert [kept.take(str(each)) for each in (0, 2, 3)] == [None, None, ALONE]


def test_a_group_that_fails_three_times_in_a_row_is_given_up_for_a_while() -> None:
    now = [0.0]
    kept = Memory(clock=lambda: now[0])
    for worked in (False, False, True, False, False):
        kept.note("group", worked=worked)
    assert not kept.is_given_up("group")
    kept.note("group", worked=False)
    kept.note("other", worked=False)
    assert kept.is_given_up("group")
    assert not kept.is_given_up("other")
    now[0] = 301.0
    assert not kept.is_given_up("group")
