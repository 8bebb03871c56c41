"""Breakers whose state all workers share, through a Redis that comes and goes."""

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import pytest
import redis

from fleet_contracts.errors import BreakerOpen, TimedOut, TooEarly
from fleet_workers.resilience.breakers import Breakers
from fleet_workers.resilience.redis_link import open_link

PERSISTENT = Path(__file__).with_name("persistent_caller.py")


def fail() -> None:
    raise TimedOut("slow")


def too_early() -> None:
    raise TooEarly("still under way")


def fail_times(breakers: Breakers, times: int) -> None:
    for _ in range(times):
        with pytest.raises(TimedOut):
            breakers.call("crm", fail)


def eventually(holds: Callable[[], bool], *, within: float) -> float:
    begun = time.monotonic()
    while not holds():
        assert time.monotonic() - begun < within
        time.sleep(0.01)
    return time.monotonic() - begun


@pytest.fixture
def fleet(server: Any) -> Iterator[Callable[..., Breakers]]:
    """Makes breakers of further workers."""
    with ExitStack() as links:

        def worker(*, open_seconds: float = 60, claim_seconds: float = 30) -> Breakers:
            link = open_link(server.url)
            links.callback(link.close)
            return Breakers(
                failures=3, open_seconds=open_seconds, claim_seconds=claim_seconds, link=link
            )

        yield worker


def test_what_fails_for_one_is_left_alone_by_all_within_a_second(fleet: Any) -> None:
    one, other = fleet(), fleet()
    assert other.call("crm", lambda: 5) == 5
    fail_times(one, 3)
    assert eventually(lambda: other.is_open("crm") is not None, within=1) < 1
    with pytest.raises(BreakerOpen, match="left alone") as caught:
        other.call("crm", lambda: 5)
    assert 50 < (caught.value.retry_after_seconds or 0) <= 60
    assert fleet().states() == {"crm": "open"}
    assert other.call("other", lambda: 5) == 5


def test_failures_of_all_workers_are_counted_together(fleet: Any) -> None:
    workers = [fleet() for _ in range(3)]
    for each in workers:
        fail_times(each, 1)
    with pytest.raises(BreakerOpen):
        workers[2].call("crm", fail)


def test_a_success_between_them_ends_the_row_wherever_it_happens(fleet: Any) -> None:
    one, other = fleet(), fleet()
    fail_times(one, 2)
    other.call("crm", lambda: 5)  # it looks first, and so knows of the failures
    fail_times(one, 2)
    one.call("crm", lambda: 5)
    for _ in range(5):
        fail_times(other, 1)
        other.call("crm", lambda: 5)
        fail_times(one, 1)
        one.call("crm", lambda: 5)
    assert one.is_open("crm") is None


def test_what_uses_up_no_attempt_tells_nothing_about_the_dependency(fleet: Any) -> None:
    breakers = fleet(open_seconds=0.2)
    for _ in range(9):
        with pytest.raises(TooEarly):
            breakers.call("crm", too_early)
    fail_times(breakers, 2)
    with pytest.raises(TooEarly):
        breakers.call("crm", too_early)
    fail_times(breakers, 1)
    assert breakers.states()["crm"] == "open"
    time.sleep(0.25)
    with pytest.raises(TooEarly):
        breakers.call("crm", too_early)
    assert breakers.states()["crm"] == "open"
    assert breakers.call("crm", lambda: 5) == 5  # the claim was given back
    assert breakers.states()["crm"] == "closed"


def test_asking_beforehand_claims_nothing(fleet: Any) -> None:
    one, other = fleet(open_seconds=0.3), fleet(open_seconds=0.3)
    assert one.is_open("crm") is None
    fail_times(one, 3)
    assert 0 < (one.is_open("crm") or 0) <= 0.3
    time.sleep(0.35)
    assert one.is_open("crm") is None
    assert one.is_open("crm") is None
    assert other.call("crm", lambda: 5) == 5


def test_a_probe_that_succeeds_lets_the_others_in_within_a_second(fleet: Any) -> None:
    one, other = fleet(open_seconds=0.3), fleet(open_seconds=0.3)
    fail_times(one, 3)
    eventually(lambda: other.is_open("crm") is not None, within=1)
    time.sleep(0.3)
    assert one.call("crm", lambda: 5) == 5
    eventually(lambda: other.states()["crm"] == "closed", within=1)
    assert other.call("crm", lambda: 5) == 5


def test_a_probe_whose_worker_died_holds_the_others_back_for_a_while_only(fleet: Any) -> None:
    dying, other = fleet(open_seconds=0.2, claim_seconds=1), fleet(open_seconds=0.2)
    fail_times(dying, 3)
    time.sleep(0.25)
    guarded = dying._get("crm")
    assert dying._claim("crm", guarded)  # and it is never heard of again
    with pytest.raises(BreakerOpen):
        other.call("crm", lambda: 5)
    assert other.states()["crm"] == "half-open"
    time.sleep(1.1)
    assert other.call("crm", lambda: 5) == 5


def called_by_two_processes(url: str, *moments: float) -> list[list[float]]:
    """When each of two processes with fifty threads called the dependency."""
    words = [sys.executable, str(PERSISTENT), url, *map(str, moments)]
    processes = [
        subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=os.environ) for _ in range(2)
    ]
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    return [json.loads(output) for output in outputs]


def test_fifty_threads_in_each_of_two_processes_send_one_probe_at_a_time(server: Any) -> None:
    begin = time.time() + 3
    works_from = begin + 6
    called = called_by_two_processes(server.url, begin, works_from, works_from + 3)
    times = sorted(itertools.chain(*called))
    all_know = begin + 0.8  # the calls under way, and half a second
    assert len([at for at in times if at < all_know]) <= 2 * 2 * 50
    probes = [at for at in times if all_know <= at < works_from]
    assert 4 <= len(probes) <= 6
    assert min(b - a for a, b in pairwise(probes)) > 0.99
    # The probe that succeeds lets all others in, in both processes.
    probe = next(at for at in times if at >= works_from)
    assert probe < works_from + 1.3
    for each in called:
        assert len([at for at in each if at > probe + 0.7]) > 50


@pytest.mark.parametrize("held_back", ["open", "claimed"])
def test_a_clock_of_redis_that_was_set_back_keeps_nobody_out_for_long(
    server: Any, fleet: Any, held_back: str
) -> None:
    one, other = (fleet(open_seconds=0.3, claim_seconds=0.5) for _ in range(2))
    fail_times(one, 3)
    with redis.Redis.from_url(server.url) as client:
        record = json.loads(client.hget("fleet:breakers", "crm") or "")
        record["u"] += 3_600_000 if held_back == "open" else 0
        record["p"] = record["u"] + 3_600_000
        client.hset("fleet:breakers", "crm", json.dumps(record))

    def gets_through(breakers: Breakers) -> bool:
        try:
            return breakers.call("crm", lambda: True)
        except BreakerOpen:
            return False

    eventually(lambda: gets_through(one), within=3)
    eventually(lambda: gets_through(other), within=1)


def test_without_redis_each_worker_works_alone_and_shares_again_when_it_is_back(
    server: Any, fleet: Any
) -> None:
    one, other = fleet(), fleet()
    assert one.call("crm", lambda: 5) == other.call("crm", lambda: 5) == 5
    server.kill()
    fail_times(one, 3)
    assert one.is_open("crm") is not None
    assert other.call("crm", lambda: 5) == 5
    server.start()

    def told() -> bool:
        one.states()  # looks, and tells the fleet what opened meanwhile
        return other.is_open("crm") is not None

    eventually(told, within=3)


def test_a_redis_that_stalls_delays_one_call_a_second_at_most(server: Any, fleet: Any) -> None:
    breakers = fleet()
    breakers.call("crm", lambda: 5)
    server.stall()
    durations = []
    numbers = count()

    def call(_: int) -> None:
        begun = time.monotonic()
        breakers.call(f"crm {next(numbers) % 5}", lambda: time.sleep(0.01))
        durations.append(time.monotonic() - begun)

    begun = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        while time.monotonic() - begun < 3:
            list(pool.map(call, range(40)))
    server.go_on()
    slow = [each for each in durations if each > 0.2]
    assert len(durations) > 500
    assert len(slow) <= 4, sorted(slow)
    assert max(durations) < 0.6


def test_a_redis_that_stalls_at_a_failure_delays_no_more_than_that(server: Any, fleet: Any) -> None:
    breakers = fleet()
    breakers.call("crm", lambda: 5)
    server.stall()
    begun = time.monotonic()
    fail_times(breakers, 3)
    assert time.monotonic() - begun < 0.6
    server.go_on()
    assert breakers.is_open("crm") is not None


def test_a_redis_that_forgets_does_not_send_calls_to_what_fails(server: Any, fleet: Any) -> None:
    one, other = fleet(open_seconds=2), fleet(open_seconds=2)
    fail_times(one, 3)
    eventually(lambda: other.is_open("crm") is not None, within=1)
    server.flush()
    for _ in range(12):
        time.sleep(0.05)
        for each in (one, other):
            assert each.is_open("crm") is not None
    time.sleep(1.5)
    probes = []

    def probe() -> None:
        probes.append(1)
        time.sleep(0.3)

    with ThreadPoolExecutor(20) as pool:
        attempts = [pool.submit(each.call, "crm", probe) for each in (one, other) * 10]
    assert len(probes) == 1
    assert sum(attempt.exception() is None for attempt in attempts) == 1


def test_calls_of_a_closed_breaker_cost_no_round_trips(server: Any, fleet: Any) -> None:
    breakers = fleet()
    breakers.call("crm", lambda: 5)
    before = server.commands()
    begun = time.monotonic()
    for _ in range(2000):
        breakers.call("crm", lambda: 5)
    looks = (time.monotonic() - begun) / 0.5 + 1
    # A look is a script with three commands; asking how many there were is a few more.
    assert server.commands() - before <= looks * 4 + 10
