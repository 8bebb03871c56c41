"""Rate limits: never more than allowed, all or nothing, shared where Redis answers."""

import itertools
import json
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from limits.storage import RedisStorage
from limits.strategies import MovingWindowRateLimiter

from fleet_contracts.errors import ConfigurationError
from fleet_workers.resilience.limits import RateLimit, RateLimits, parse_rate
from fleet_workers.resilience.redis_link import open_link
from fleet_workers.resilience.windows import Windows

EAGER = Path(__file__).with_name("eager_taker.py")


def limit(rate: str, *scope: str) -> RateLimit:
    return RateLimit(scope=scope or ("tool", "refund"), rate=parse_rate(rate))


@pytest.fixture(params=["shared", "alone"])
def limits(request: pytest.FixtureRequest) -> Iterator[RateLimits]:
    if request.param == "alone":
        yield RateLimits(None)
    else:
        yield RateLimits(request.getfixturevalue("link"))


@pytest.mark.parametrize(
    ("text", "amount", "seconds"),
    [
        ("10/second", 10, 1),
        ("100/minute", 100, 60),
        ("5000/day", 5000, 86400),
        ("20 per 5 minutes", 20, 300),
    ],
)
def test_a_rate_is_read_as_files_write_it(text: str, amount: int, seconds: int) -> None:
    rate = parse_rate(text)
    assert (rate.amount, rate.get_expiry()) == (amount, seconds)


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("", "10/second"),
        ("10", "10/second"),
        ("10/fortnight", "10/second"),
        ("-1/second", "10/second"),
        ("1.5/second", "10/second"),
        ("5/0 seconds", "10/second"),
        ("0/second", "disable"),
        ("1/second; 10/minute", "name one"),
        ("1000000/day", "a shorter one"),
    ],
)
def test_what_is_no_rate_is_refused_with_a_remedy(text: str, remedy: str) -> None:
    with pytest.raises(ConfigurationError, match=remedy):
        parse_rate(text)


@given(st.text(max_size=20))
def test_any_text_is_a_rate_or_refused(text: str) -> None:
    try:
        rate = parse_rate(text)
    except ConfigurationError:
        return
    assert rate.amount > 0
    assert rate.get_expiry() > 0


def test_calls_beyond_the_rate_wait_until_the_oldest_is_a_span_old(limits: RateLimits) -> None:
    checks = [limit("3/second")]
    begun = time.monotonic()
    assert [limits.take(checks) for _ in range(3)] == [None, None, None]
    wait_seconds = limits.take(checks)
    assert wait_seconds is not None
    assert 0.5 < wait_seconds <= 1.01
    time.sleep(wait_seconds)
    assert limits.take(checks) is None
    assert time.monotonic() - begun >= 1.0


def test_a_call_that_one_limit_refuses_uses_up_none_of_the_others(limits: RateLimits) -> None:
    tool, tenant = limit("5/minute", "tool", "refund"), limit("1/minute", "tenant", "acme")
    assert limits.take([tool, tenant]) is None
    for checks in ([tool, tenant], [tenant, tool]) * 10:
        wait_seconds = limits.take(checks)
        assert wait_seconds is not None
        assert 50 < wait_seconds < 61
    assert [limits.take([tool]) for _ in range(4)] == [None] * 4
    assert limits.take([tool]) is not None


def test_scopes_with_the_same_letters_are_counted_apart(limits: RateLimits) -> None:
    for scope in (("a/b", "c"), ("a", "b/c"), ("a", "b", "c"), ("a%2Fb", "c")):
        assert limits.take([limit("1/minute", *scope)]) is None
        assert limits.take([limit("1/minute", *scope)]) is not None


def test_a_limit_that_is_named_twice_counts_once(limits: RateLimits) -> None:
    twice = [limit("2/minute"), limit("2/minute")]
    assert [limits.take(twice) for _ in range(2)] == [None, None]
    assert limits.take(twice) is not None
    assert limits.take([]) is None


SCOPES = st.sampled_from(["tool", "tenant", "agent"])
RATES = st.sampled_from(["1/second", "2/second", "3/second", "5/2seconds"])


@given(
    limits_of_calls=st.lists(st.dictionaries(SCOPES, RATES, min_size=1), min_size=1, max_size=15),
    pauses_ms=st.lists(st.integers(0, 250), min_size=15, max_size=15),
)
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_span_holds_more_than_the_rate_and_no_call_waits_without_need(
    server: Any, limits: RateLimits, limits_of_calls: list[dict[str, str]], pauses_ms: list[int]
) -> None:
    server.flush()
    limits._own = Windows()
    taken: dict[str, deque[tuple[float, float]]] = {}
    for named, pause_ms in zip(limits_of_calls, pauses_ms, strict=False):
        checks = [limit(rate, scope) for scope, rate in named.items()]
        before = time.monotonic()
        wait_seconds = limits.take(checks)
        after = time.monotonic()
        full = []
        for check in checks:
            times = taken.setdefault(check.key, deque())
            seconds = check.rate.get_expiry()
            # A call counts from between the two moments around it.
            surely = sum(begun > after - seconds for begun, _ in times)
            perhaps = sum(ended > before - seconds - 0.01 for _, ended in times)
            full.append((surely >= check.rate.amount, perhaps >= check.rate.amount))
        if wait_seconds is None:
            assert not any(surely for surely, _ in full)
            for check in checks:
                taken[check.key].append((before, after))
        else:
            assert any(perhaps for _, perhaps in full)
        time.sleep(pause_ms / 1000)


def test_a_hundred_threads_take_what_there_is_and_no_more(limits: RateLimits) -> None:
    scarce, plenty = limit("40/minute", "tenant", "acme"), limit("1000/minute", "tool", "refund")
    with ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(lambda _: limits.take([plenty, scarce]), range(1000)))
    assert answers.count(None) == 40
    rest = sum(limits.take([plenty]) is None for _ in range(1000))
    assert rest == 960


def test_two_processes_share_one_rate(server: Any) -> None:
    words = [sys.executable, str(EAGER), server.url, "20/2seconds", str(time.time() + 5), "5"]
    processes = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    times = sorted(itertools.chain(*map(json.loads, outputs)))
    spans = [b - a for a, b in zip(times, times[20:], strict=False)]
    assert min(spans) > 1.9  # the 21st comes when the first is two seconds old
    assert 40 <= len(times) <= 60  # a busy machine may miss a part of the last span


def test_the_windows_are_those_of_the_library(server: Any, link: Any) -> None:
    check = limit("5/minute")
    RateLimits(link).take([check])
    library = MovingWindowRateLimiter(RedisStorage(server.url, key_prefix="fleet:limits"))
    assert library.get_window_stats(check.rate, *check.scope).remaining == 4


def test_without_redis_each_process_keeps_to_its_share(server: Any) -> None:
    checks = [limit("9/minute")]
    links = [open_link(server.url) for _ in range(3)]
    workers = [RateLimits(link) for link in links]
    for each in (*workers, *workers):
        assert each.take(checks) is None
    server.kill()
    # One call each is left of a share of three; the two before count.
    assert [each.take(checks) for each in workers[:2]] == [None, None]
    assert all(each.take(checks) is not None for each in workers[:2])
    assert workers[2].take([limit("2/minute", "other")]) is None
    wait_seconds = workers[2].take([limit("2/minute", "other")])
    assert wait_seconds is not None
    assert wait_seconds > 85  # one call in 90 seconds
    server.start()
    time.sleep(1.1)
    assert [workers[2].take(checks) for _ in range(9)].count(None) == 9  # it forgot all
    for link in links:
        link.close()


def test_a_redis_that_forgets_its_data_and_scripts_goes_on(server: Any, link: Any) -> None:
    limits = RateLimits(link)
    checks = [limit("2/minute")]
    assert [limits.take(checks) for _ in range(2)] == [None, None]
    server.flush()
    assert [limits.take(checks) for _ in range(2)] == [None, None]
    assert limits.take(checks) is not None


def test_a_redis_that_stalls_delays_one_call_a_second_at_most(server: Any, link: Any) -> None:
    limits = RateLimits(link)
    checks = [limit("100000/minute")]
    limits.take(checks)
    server.stall()
    durations = []
    end = time.monotonic() + 3
    while time.monotonic() < end:
        begun = time.monotonic()
        limits.take(checks)
        durations.append(time.monotonic() - begun)
        time.sleep(0.001)
    server.go_on()
    assert len([each for each in durations if each > 0.1]) <= 4
    assert max(durations) < 0.5
