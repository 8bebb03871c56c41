"""Breakers open on failures of the dependency, let one call probe it, and never make calls wait."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from fleet_contracts.errors import BreakerOpen, PermanentError, TimedOut
from fleet_workers.resilience.breakers import Breakers


def fail() -> None:
    raise TimedOut("slow")


def refuse() -> None:
    raise PermanentError("no")


def opened(breakers: Breakers) -> None:
    for _ in range(3):
        with pytest.raises(TimedOut):
            breakers.call("crm", fail)


def test_after_enough_failures_nothing_is_called_any_more() -> None:
    breakers = Breakers(failures=3, open_seconds=60)
    opened(breakers)
    calls: list[int] = []
    with pytest.raises(BreakerOpen, match="left alone") as caught:
        breakers.call("crm", lambda: calls.append(1))
    assert not calls
    assert caught.value.retry_after_seconds is not None
    assert breakers.call("other", lambda: 5) == 5
    assert breakers.states()["crm"] == "open"


def test_a_refused_request_is_no_failure_of_the_dependency() -> None:
    breakers = Breakers(failures=3, open_seconds=60)
    for _ in range(10):
        with pytest.raises(PermanentError):
            breakers.call("crm", refuse)
    assert breakers.call("crm", lambda: 5) == 5


def test_one_probe_goes_through_and_its_success_closes_the_breaker() -> None:
    breakers = Breakers(failures=3, open_seconds=0.2)
    opened(breakers)
    time.sleep(0.25)
    with ThreadPoolExecutor(5) as pool:
        attempts = [pool.submit(breakers.call, "crm", lambda: time.sleep(0.3)) for _ in range(5)]
    failures = [attempt.exception() for attempt in attempts]
    assert sum(failure is None for failure in failures) == 1
    assert breakers.call("crm", lambda: 5) == 5
    assert breakers.states()["crm"] == "closed"


def test_a_failed_probe_opens_it_again() -> None:
    breakers = Breakers(failures=3, open_seconds=0.1)
    opened(breakers)
    time.sleep(0.15)
    with pytest.raises(TimedOut):
        breakers.call("crm", fail)
    with pytest.raises(BreakerOpen, match="left alone"):
        breakers.call("crm", lambda: 5)


def test_calls_to_one_dependency_run_at_the_same_time() -> None:
    breakers = Breakers()
    begun = time.monotonic()
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda _: breakers.call("crm", lambda: time.sleep(0.3)), range(10)))
    assert time.monotonic() - begun < 1.5  # one after another they take 3 s
