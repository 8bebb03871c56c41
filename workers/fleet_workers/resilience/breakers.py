"""Circuit breakers by name. A dependency that keeps failing is left alone for a while."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from threading import Lock
from typing import TypeVar

import pybreaker

from fleet_contracts.errors import BreakerOpen, FleetError, LeaseLost, TransientError
from fleet_workers.resilience.breaker_records import BreakerRecords
from fleet_workers.resilience.breaker_storage import BreakerStorage
from fleet_workers.resilience.redis_link import RedisAway, RedisLink

T = TypeVar("T")

FAILURES_TO_OPEN = 5
OPEN_SECONDS = 15.0
_CLAIM_SECONDS = 30.0
"""How long a probe keeps others back. One that hangs, or whose worker died, does no longer."""
_LOOK_SECONDS = 0.5
"""How old the fleet's state may be when a call begins, where Redis answers."""


class _Verdict(Enum):
    """What the end of a call tells about the dependency."""

    WORKS = auto()
    FAILS = auto()
    NOTHING = auto()


@dataclass(frozen=True, slots=True)
class _Guarded:
    breaker: pybreaker.CircuitBreaker
    storage: BreakerStorage
    lock: Lock = field(default_factory=Lock)


class Breakers:
    """The breakers of one process, which share their state with the fleet through a link.

    Failures in a row are counted over all workers; all leave a dependency alone once one of them
    knows that it fails, within a second; then one call of the whole fleet tries it again. While
    Redis is away, or without a link, this process does all that for itself.

    Only transient errors count, and of those only such as use up an attempt. While closed, a call
    costs a round trip only where it fails, where it is the first to succeed after failures, and
    where half a second has passed since the last look at the fleet's state.

    `CircuitBreaker.call` holds its lock while the call runs, which would make calls to one
    dependency wait for each other; so calls run outside, and only their result goes through it.
    """

    def __init__(
        self,
        *,
        failures: int = FAILURES_TO_OPEN,
        open_seconds: float = OPEN_SECONDS,
        claim_seconds: float = _CLAIM_SECONDS,
        link: RedisLink | None = None,
    ) -> None:
        self._failures = failures
        self._open_seconds = open_seconds
        self._claim_seconds = claim_seconds
        self._records: BreakerRecords | None = None
        if link is not None:
            self._records = BreakerRecords(
                link, open_seconds=open_seconds, claim_seconds=claim_seconds
            )
        self._guarded: dict[str, _Guarded] = {}
        self._lock = Lock()
        self._look_at = 0.0
        self._looking = Lock()

    def call(self, name: str, function: Callable[[], T]) -> T:
        """Call through the breaker of that name.

        Raises:
            BreakerOpen: The breaker is open; nothing was called.
        """
        self._look()
        guarded = self._get(name)
        token = None if guarded.storage.is_closed else self._claim(name, guarded)
        try:
            result = function()
        except BaseException as error:
            self._note(guarded, token, error)
            raise
        self._note(guarded, token, None)
        return result

    def is_open(self, name: str) -> float | None:
        """Seconds until a call may try the dependency again, or None where it would go through.

        Nothing is claimed: where a probe is due, the call that comes first will be it.
        """
        self._look()
        wait_seconds = self._get(name).storage.wait_seconds()
        return wait_seconds if wait_seconds > 0 else None

    def states(self) -> dict[str, str]:
        """Each breaker's state, here or known to the fleet: closed, open or half-open."""
        self._look()
        with self._lock:
            return {name: _state(each.storage) for name, each in self._guarded.items()}

    def _claim(self, name: str, guarded: _Guarded) -> str | None:
        with guarded.lock:
            if guarded.storage.claim():
                if not guarded.storage.is_closed:
                    guarded.breaker.half_open()
                return guarded.storage.token
            wait_seconds = guarded.storage.wait_seconds()
        raise BreakerOpen(
            f"{name} failed {self._failures} times in a row and is left alone for a while.",
            retry_after_seconds=max(wait_seconds, 1.0),
        )

    def _note(self, guarded: _Guarded, token: str | None, error: BaseException | None) -> None:
        verdict = _verdict(error)
        storage = guarded.storage
        if verdict is _Verdict.WORKS:
            storage.succeeded_at = time.monotonic()
        if token is None:
            is_news = verdict is _Verdict.FAILS or (verdict is _Verdict.WORKS and storage.counter)
            if not is_news or not storage.is_closed:
                return
        with guarded.lock:
            if storage.token != token or (token is None and not storage.is_closed):
                return  # it was under way when the breaker opened, or lost its claim
            if verdict is _Verdict.NOTHING:
                storage.release()
                return
            try:
                guarded.breaker.call(_repeat, error if verdict is _Verdict.FAILS else None)
            except TransientError:
                return

    def _look(self) -> None:
        """Take over the fleet's state where it was not looked at lately; one call at a time."""
        asked_at = time.monotonic()
        if self._records is None or asked_at < self._look_at:
            return
        if not self._looking.acquire(blocking=False):
            return
        try:
            self._look_at = asked_at + _LOOK_SECONDS
            records = self._records.all()
        except RedisAway:
            return
        finally:
            self._looking.release()
        with self._lock:
            known = tuple(self._guarded)
        for name in {*known, *records}:
            guarded = self._get(name)
            with guarded.lock:
                guarded.storage.adopt(records.get(name), asked_at)

    def _get(self, name: str) -> _Guarded:
        with self._lock:
            if name not in self._guarded:
                storage = BreakerStorage(
                    name,
                    self._records,
                    open_seconds=self._open_seconds,
                    claim_seconds=self._claim_seconds,
                )
                breaker = pybreaker.CircuitBreaker(
                    name=name,
                    fail_max=self._failures,
                    reset_timeout=self._open_seconds,
                    throw_new_error_on_trip=False,
                    state_storage=storage,
                )
                self._guarded[name] = _Guarded(breaker=breaker, storage=storage)
            return self._guarded[name]


def _verdict(error: BaseException | None) -> _Verdict:
    if error is None:
        return _Verdict.WORKS
    if isinstance(error, TransientError):
        return _Verdict.FAILS if error.counts_attempt else _Verdict.NOTHING
    if isinstance(error, LeaseLost) or not isinstance(error, FleetError):
        return _Verdict.NOTHING
    return _Verdict.WORKS  # it answered, if only to refuse


def _state(storage: BreakerStorage) -> str:
    return pybreaker.STATE_HALF_OPEN if storage.is_claimed else storage.state


def _repeat(error: BaseException | None) -> None:
    if error is not None:
        raise error
