"""One breaker's state in this process, kept equal to the fleet's while Redis answers.

It is pybreaker's storage: pybreaker decides when to open and close, this carries it.
"""

import secrets
import time
from collections.abc import Callable
from datetime import datetime

import pybreaker

from fleet_workers.resilience.breaker_records import BreakerRecords, Record
from fleet_workers.resilience.redis_link import RedisAway

_PROBE_UNDER_WAY_SECONDS = 1.0  # its result is usually there by then


class BreakerStorage(pybreaker.CircuitBreakerStorage):
    """Callers hold one lock for all that changes it. Nothing here raises RedisAway.

    `succeeded_at` is when a call last succeeded here (time.monotonic). `token` belongs to the call
    of this process that is the probe.
    """

    def __init__(
        self,
        name: str,
        records: BreakerRecords | None,
        *,
        open_seconds: float,
        claim_seconds: float,
    ) -> None:
        super().__init__(name)
        self.succeeded_at: float | None = None
        self.token: str | None = None
        self._records = records
        self._open_seconds = open_seconds
        self._claim_seconds = claim_seconds
        self._state = pybreaker.STATE_CLOSED
        self._failures = 0
        self._successes = 0
        self._probe_at = 0.0
        self._claimed_until = 0.0
        self._changed_at = 0.0
        self._is_told = True

    @property
    def state(self) -> str:
        """`closed`, `open`, or `half-open` while a call of this process is the probe."""
        return self._state

    @state.setter
    def state(self, state: str) -> None:
        if state == pybreaker.STATE_OPEN:
            self._open()
        elif state == pybreaker.STATE_CLOSED:
            self._close()
        else:
            self._state = state

    @property
    def is_closed(self) -> bool:
        """Whether calls go through."""
        return self._state == pybreaker.STATE_CLOSED

    @property
    def is_claimed(self) -> bool:
        """Whether a call, here or elsewhere, is trying the dependency."""
        return not self.is_closed and self._claimed_until > time.monotonic()

    def wait_seconds(self) -> float:
        """Seconds until a call may be let through; 0 or less where it may be now."""
        now = time.monotonic()
        if self.is_closed:
            return 0.0
        if self._claimed_until > now:
            return _PROBE_UNDER_WAY_SECONDS
        return self._probe_at - now

    def claim(self) -> bool:
        """Become the probe where one is due, or find it closed. Else `wait_seconds` tells more."""
        if self.wait_seconds() > 0:
            return False
        token = secrets.token_hex(8)
        record = self._tell(lambda records: records.claim(self.name, token))
        if record is not None and not record.granted:
            self._take_over(record)
            return self.is_closed
        self.token = token
        self._claimed_until = time.monotonic() + self._claim_seconds
        return True

    def release(self) -> None:
        """The probe told nothing: another call may be it at once."""
        token, self.token = self.token or "", None
        self._state = pybreaker.STATE_OPEN
        self._claimed_until = 0.0
        self._tell(lambda records: records.release(self.name, token))

    def adopt(self, record: Record | None, asked_at: float) -> None:
        """Take over what the fleet knew at `asked_at` (time.monotonic); None: nothing.

        What changed here since then stands, and so does a probe of this process. Where Redis lost
        its data, or was away when this breaker opened, it stays open here and is opened there.
        """
        if self._changed_at >= asked_at or (self.token is not None and self.is_claimed):
            return
        is_open_there = record is not None and record.probe_in_seconds is not None
        if not self._is_told and not is_open_there:
            self._is_told = self._tell(lambda records: records.open(self.name)) is not None
        elif record is not None:
            self._take_over(record)

    def increment_counter(self) -> None:
        """Count a failure; that of a probe is in the row already."""
        if self.token is not None:
            return
        ago = None if self.succeeded_at is None else time.monotonic() - self.succeeded_at
        record = self._tell(lambda records: records.fail(self.name, success_seconds_ago=ago))
        if record is None:
            self._failures += 1
        else:
            self._take_over(record)

    def reset_counter(self) -> None:
        """End a row of failures. No round trip where none is known."""
        if self._failures and self.is_closed:
            self._tell(lambda records: records.succeed(self.name))
        self._failures = 0

    @property
    def counter(self) -> int:
        """Failures in a row, of the fleet where Redis answers."""
        return self._failures

    def increment_success_counter(self) -> None:
        """Count a success of a probe."""
        self._successes += 1

    def reset_success_counter(self) -> None:
        """Forget them."""
        self._successes = 0

    @property
    def success_counter(self) -> int:
        """Successes of probes since it opened."""
        return self._successes

    @property
    def opened_at(self) -> datetime | None:
        """Not kept: when a probe is due is, by a clock that nobody sets."""
        return None

    @opened_at.setter
    def opened_at(self, datetime: datetime) -> None:
        """Not kept."""

    def _open(self) -> None:
        token, self.token = self.token or "", None
        self._state = pybreaker.STATE_OPEN
        self._probe_at = time.monotonic() + self._open_seconds
        self._claimed_until = 0.0
        record = self._tell(lambda records: records.open(self.name, token=token))
        self._is_told = record is not None or self._records is None

    def _close(self) -> None:
        token, self.token = self.token or "", None
        self._state = pybreaker.STATE_CLOSED
        self._is_told = True
        self._tell(lambda records: records.close(self.name, token))

    def _take_over(self, record: Record) -> None:
        self._failures = record.failures
        self.token = None
        if record.probe_in_seconds is not None:
            now = time.monotonic()
            self._state = pybreaker.STATE_OPEN
            self._probe_at = now + _possible(record.probe_in_seconds, self._open_seconds)
            self._claimed_until = now + _possible(record.claim_seconds, self._claim_seconds)
            self._is_told = True
        elif not self.is_closed:
            self._state = pybreaker.STATE_CLOSED
            self._failures = 0  # pybreaker takes a breaker that it finds closed to be without

    def _tell(self, change: Callable[[BreakerRecords], Record]) -> Record | None:
        if self._records is None:
            return None
        try:
            return change(self._records)
        except RedisAway:
            return None
        finally:
            self._changed_at = time.monotonic()


def _possible(seconds: float, longest: float) -> float:
    """No wait, where it is longer than any is: Redis's clock was set back.

    The next call then asks for a claim, and the script mends the record.
    """
    return seconds if seconds <= longest else 0.0
