"""When a pool grows and shrinks, over simulated hours."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fleet_contracts.errors import ConfigurationError
from fleet_workers.embedded.scaling import (
    Bounds,
    PoolScaler,
    Rules,
    Sample,
    read_bounds,
)
from fleet_workers.embedded.up import UpOptions, run_fleet

SLOTS = 100
START_SECONDS = 4.0
LOOK_SECONDS = 1.0


@dataclass
class Plant:
    """A pool whose processes each do at most `rate` tasks a second, every task in `seconds`."""

    scaler: PoolScaler
    rate: float
    seconds: float = 0.5
    waiting: float = 0.0
    ready_at: list[float] = field(default_factory=lambda: [0.0])
    numbers: list[tuple[float, int]] = field(default_factory=list)
    oldest_seconds: float = 0.0

    def run(self, arrivals: Callable[[float], float], *, seconds: float, since: float = 0) -> None:
        """Arrivals a second, over so long."""
        for tick in range(int(seconds / LOOK_SECONDS)):
            now = since + tick * LOOK_SECONDS
            ready = sum(each <= now for each in self.ready_at)
            self.waiting += arrivals(now) * LOOK_SECONDS
            able = min(ready * self.rate, ready * SLOTS / self.seconds) * LOOK_SECONDS
            # By Little's law: what is at work is what ends a second, each for its seconds.
            ends = min(self.waiting, able)
            is_full = self.waiting > able
            busy = ready * SLOTS if is_full else ends / LOOK_SECONDS * self.seconds
            self.waiting -= ends
            backlog = max(0, int(self.waiting - busy)) if is_full else 0
            self.oldest_seconds = backlog / max(able / LOOK_SECONDS, 1)
            decision = self.scaler.decide(
                Sample(
                    at=now,
                    processes=len(self.ready_at),
                    ready=ready,
                    slots=ready * SLOTS,
                    busy_slots=min(int(busy), ready * SLOTS),
                    backlog=backlog,
                    oldest_seconds=self.oldest_seconds,
                )
            )
            if decision is not None:
                self.numbers.append((now, decision.processes))
                while len(self.ready_at) < decision.processes:
                    self.ready_at.append(now + START_SECONDS)
                del self.ready_at[decision.processes :]


def plant(most: int = 4, *, rate: float = 100.0, least: int = 1) -> Plant:
    return Plant(PoolScaler(Bounds(least=least, most=most)), rate)


def test_a_pool_grows_under_load_and_shrinks_again_when_it_has_passed() -> None:
    pool = plant()
    pool.run(lambda now: 320 if now < 120 else 5, seconds=600)
    counts = [number for _, number in pool.numbers]
    assert counts == [2, 3, 4, 3, 2, 1]
    assert pool.numbers[2][0] < 60
    assert all(at >= 120 + 30 for at, number in pool.numbers[3:])
    assert pool.waiting == 0


def test_a_flood_doubles_the_pool_at_once() -> None:
    pool = plant()
    pool.waiting = 50_000
    pool.run(lambda _: 0, seconds=60)
    assert [number for _, number in pool.numbers] == [2, 4]
    assert pool.numbers[1][0] < 20


@pytest.mark.parametrize("load", [20, 60, 95, 130, 180, 260, 390])
def test_a_steady_load_does_not_make_it_flap(load: float) -> None:
    pool = plant()
    pool.run(lambda _: load, seconds=3600)
    assert len(pool.numbers) <= 4
    assert pool.numbers == [each for each in pool.numbers if each[0] < 120]
    assert pool.oldest_seconds < 10


@pytest.mark.parametrize("load", [95, 130, 180, 260, 390])
def test_short_tasks_that_leave_slots_empty_make_it_try_ever_more_rarely(load: float) -> None:
    """Two processes that do what is too much for one look idle where tasks take 20 ms."""
    pool = plant()
    pool.seconds = 0.02
    pool.run(lambda _: load, seconds=2 * 3600)
    per_hour = [sum(at // 3600 == hour for at, _ in pool.numbers) for hour in range(2)]
    assert per_hour[0] <= 24
    assert max(per_hour[1:]) <= 12
    assert pool.oldest_seconds < 10


def test_what_was_regretted_long_ago_is_forgiven() -> None:
    pool = plant()
    pool.seconds = 0.02
    pool.run(lambda _: 130, seconds=3600)
    pool.run(lambda _: 5, seconds=2 * 3600, since=3600)
    assert len(pool.ready_at) == 1
    pool.numbers.clear()
    pool.run(lambda now: 130 if now < 10_830 else 5, seconds=600, since=10_800)
    grown, shrunk = pool.numbers
    assert shrunk[0] - grown[0] < 45


def test_bursts_of_a_minute_are_ridden_out_without_a_change_for_each() -> None:
    pool = plant()
    pool.run(lambda now: 250 if now % 120 < 60 else 0, seconds=3600)
    assert len(pool.numbers) <= 40  # 30 bursts
    assert pool.waiting < 250 * 60


def test_a_short_peak_is_no_reason_to_grow() -> None:
    pool = plant()
    pool.run(lambda now: 400 if now == 10 else 20, seconds=300)
    assert pool.numbers == []


def test_the_numbers_of_a_long_and_wild_day_stay_within_bounds() -> None:
    pool = plant(most=3, least=2)
    pool.run(lambda now: (now * 7919) % 500, seconds=7200)
    assert {number for _, number in pool.numbers} <= {2, 3}


def seen(at: float, **more: float) -> Sample:
    usual = {"processes": 1, "ready": 1, "slots": 100, "busy_slots": 100, "backlog": 0}
    return Sample(at=at, **{**usual, "oldest_seconds": 0.0, **more})  # type: ignore[arg-type] ints


def decided(scaler: PoolScaler, samples: Sequence[Sample]) -> list[int]:
    return [found.processes for each in samples if (found := scaler.decide(each))]


def test_tasks_that_free_slots_do_not_take_are_no_reason_to_grow() -> None:
    """A paused agent, limits, sessions whose turn is elsewhere: more processes would not help."""
    scaler = PoolScaler(Bounds(most=4))
    stuck = [seen(at, busy_slots=3, backlog=9000, oldest_seconds=4000) for at in range(100)]
    assert decided(scaler, stuck) == []
    # And an idle pool with such a queue shrinks all the same
    two = [
        seen(at, processes=2, ready=2, slots=200, busy_slots=3, backlog=9000) for at in range(60)
    ]
    assert decided(PoolScaler(Bounds(most=4)), two) == [1]


def test_messages_that_nobody_takes_in_are_a_reason_even_where_slots_are_free() -> None:
    """A process whose core is full takes in no more, and its slots run empty."""
    flooded = [seen(at, busy_slots=10, backlog=150, unread=100) for at in range(4)]
    assert decided(PoolScaler(Bounds(most=4)), flooded) == [2]
    two = [
        seen(at, processes=2, ready=2, slots=200, busy_slots=9, backlog=250, unread=200)
        for at in range(60)
    ]
    assert decided(PoolScaler(Bounds(most=2)), two) == []


def test_an_old_task_is_a_reason_even_where_few_wait() -> None:
    scaler = PoolScaler(Bounds(most=2))
    few = [seen(at, backlog=3, oldest_seconds=at) for at in range(20)]
    assert decided(scaler, few[:13]) == []
    assert decided(scaler, few[13:14]) == [2]


def test_a_pool_without_slots_and_one_that_starts_are_left_alone() -> None:
    scaler = PoolScaler(Bounds(most=4))
    assert decided(scaler, [seen(at, slots=0, busy_slots=0, backlog=99) for at in range(60)]) == []
    starting = [seen(at, processes=2, ready=1, backlog=9000) for at in range(60)]
    assert decided(scaler, starting) == []


def test_bounds_hold_at_once() -> None:
    scaler = PoolScaler(Bounds(least=2, most=3))
    assert decided(scaler, [seen(0, processes=1)]) == [2]
    assert decided(scaler, [seen(1, processes=5, ready=5)]) == [3]


def test_a_time_in_which_nothing_was_seen_counts_for_nothing() -> None:
    scaler = PoolScaler(Bounds(most=2), Rules(grow_after_seconds=3))
    assert decided(scaler, [seen(at, backlog=500) for at in (0, 1, 2)]) == []
    scaler.forget()
    assert decided(scaler, [seen(at, backlog=500) for at in (60, 61, 62)]) == []
    assert decided(scaler, [seen(63, backlog=500)]) == [2]


def test_bounds_are_read_by_agent() -> None:
    words = ["billing=1:4", "retail=2:2", "billing=1:3"]
    assert read_bounds(words, ("billing", "retail")) == {
        "billing": Bounds(least=1, most=3),
        "retail": Bounds(least=2, most=2),
    }


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("billing", "write AGENT=LEAST:MOST"),
        ("billing=1", "write AGENT=LEAST:MOST"),
        ("billing=1:x", "write AGENT=LEAST:MOST"),
        ("sales=1:2", "there are billing, retail"),
        ("billing=0:2", "1 to 16 processes"),
        ("billing=3:2", "1 to 16 processes"),
        ("billing=1:17", "1 to 16 processes"),
    ],
)
def test_bounds_that_make_no_sense_are_refused_with_the_remedy(word: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        read_bounds([word], ("retail", "billing"))


def test_a_fleet_with_wrong_bounds_starts_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "fleet"
    assert run_fleet(UpOptions(folder=folder, scale=("billing=2:1",))) == 1
    assert "'billing=2:1': a pool has 1 to 16 processes" in capsys.readouterr().out
    assert not folder.exists()
