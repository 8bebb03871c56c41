"""Circuit breakers by name. A dependency that keeps failing is left alone for a while."""

from collections.abc import Callable
from threading import Lock
from typing import TypeVar

import pybreaker

from fleet_contracts.errors import FleetError, TransientError, Unavailable

T = TypeVar("T")

FAILURES_TO_OPEN = 5
OPEN_SECONDS = 15.0


class Breakers:
    """The breakers of one process. Only errors of the dependency count, not refused requests."""

    def __init__(self) -> None:
        self._breakers: dict[str, pybreaker.CircuitBreaker] = {}
        self._lock = Lock()

    def call(self, name: str, function: Callable[[], T]) -> T:
        """Call through the breaker of that name.

        Raises:
            Unavailable: The breaker is open; nothing was called.
        """
        try:
            result: T = self._breaker(name).call(function)
        except pybreaker.CircuitBreakerError as error:
            if isinstance(error.__cause__, FleetError):  # the failure that opened it
                raise error.__cause__ from error
            raise Unavailable(
                f"{name} failed {FAILURES_TO_OPEN} times in a row and is left alone for "
                f"{OPEN_SECONDS:.0f} s.",
                retry_after_seconds=OPEN_SECONDS,
            ) from error
        return result

    def _breaker(self, name: str) -> pybreaker.CircuitBreaker:
        with self._lock:
            if name not in self._breakers:
                self._breakers[name] = pybreaker.CircuitBreaker(
                    name=name,
                    fail_max=FAILURES_TO_OPEN,
                    reset_timeout=OPEN_SECONDS,
                    exclude=[lambda error: not isinstance(error, TransientError)],
                    throw_new_error_on_trip=False,
                )
            return self._breakers[name]
