"""Circuit breakers by name. A dependency that keeps failing is left alone for a while."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import TypeVar

import pybreaker

from fleet_contracts.errors import BreakerOpen, TransientError

T = TypeVar("T")

FAILURES_TO_OPEN = 5
OPEN_SECONDS = 15.0


@dataclass(slots=True)
class _Guarded:
    """A breaker, when it opened, and whether one call is trying the dependency again."""

    breaker: pybreaker.CircuitBreaker
    opened_at: float = 0.0
    probing: bool = False
    lock: Lock = field(default_factory=Lock)


class Breakers:
    """The breakers of one process. Only errors of the dependency count, not refused requests.

    `CircuitBreaker.call` holds its lock while the call runs, which would make calls to one
    dependency wait for each other; so calls run outside, and only their result goes through it.
    """

    def __init__(
        self, *, failures: int = FAILURES_TO_OPEN, open_seconds: float = OPEN_SECONDS
    ) -> None:
        self._failures = failures
        self._open_seconds = open_seconds
        self._guarded: dict[str, _Guarded] = {}
        self._lock = Lock()

    def call(self, name: str, function: Callable[[], T]) -> T:
        """Call through the breaker of that name.

        Raises:
            BreakerOpen: The breaker is open; nothing was called.
        """
        guarded = self._get(name)
        self._admit(name, guarded)
        try:
            result = function()
        except TransientError as error:
            self._note(guarded, error)
            raise
        except BaseException:
            self._note(guarded, None)
            raise
        self._note(guarded, None)
        return result

    def states(self) -> dict[str, str]:
        """Each breaker's state: closed, open or half-open."""
        with self._lock:
            return {name: each.breaker.current_state for name, each in self._guarded.items()}

    def _admit(self, name: str, guarded: _Guarded) -> None:
        with guarded.lock:
            if guarded.breaker.current_state == pybreaker.STATE_CLOSED:
                return
            wait_seconds = guarded.opened_at + self._open_seconds - time.monotonic()
            if wait_seconds <= 0 and not guarded.probing:
                guarded.probing = True
                guarded.breaker.half_open()
                return
        raise BreakerOpen(
            f"{name} failed {self._failures} times in a row and is left alone for a while.",
            retry_after_seconds=max(wait_seconds, 1.0),
        )

    def _note(self, guarded: _Guarded, error: TransientError | None) -> None:
        with guarded.lock:
            guarded.probing = False
            if guarded.breaker.current_state == pybreaker.STATE_OPEN:
                return  # a call that was under way when the breaker opened
            try:
                guarded.breaker.call(_repeat, error)
            except TransientError:
                if guarded.breaker.current_state == pybreaker.STATE_OPEN:
                    guarded.opened_at = time.monotonic()

    def _get(self, name: str) -> _Guarded:
        with self._lock:
            if name not in self._guarded:
                breaker = pybreaker.CircuitBreaker(
                    name=name,
                    fail_max=self._failures,
                    reset_timeout=self._open_seconds,
                    throw_new_error_on_trip=False,
                )
                self._guarded[name] = _Guarded(breaker=breaker)
            return self._guarded[name]


def _repeat(error: TransientError | None) -> None:
    if error is not None:
        raise error
