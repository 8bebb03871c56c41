"""Moving windows of one process: how many calls were made within a span that ends now."""

import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from threading import Lock

_SWEEP_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """At most `amount` calls within `seconds`."""

    amount: int
    seconds: float


class Windows:
    """The times of the latest calls by key."""

    def __init__(self) -> None:
        self._times: dict[str, deque[float]] = {}
        self._stale_at: dict[str, float] = {}
        self._sweep_at = 0.0
        self._lock = Lock()

    def take(self, spans: Mapping[str, Span]) -> float | None:
        """Count a call for every key, or for none where a span is full.

        Gives None where it was counted, else the seconds until it would be.
        """
        with self._lock:
            now = time.monotonic()
            wait_seconds = max(self._wait_seconds(key, span, now) for key, span in spans.items())
            if wait_seconds > 0:
                return wait_seconds
            self._count(spans, now)
        return None

    def note(self, spans: Mapping[str, Span]) -> None:
        """Count a call that was allowed elsewhere."""
        with self._lock:
            self._count(spans, time.monotonic())

    def _wait_seconds(self, key: str, span: Span, now: float) -> float:
        times = self._times.get(key, ())
        if len(times) < span.amount:
            return 0.0
        return times[-span.amount] + span.seconds - now

    def _count(self, spans: Mapping[str, Span], now: float) -> None:
        for key, span in spans.items():
            times = self._times.setdefault(key, deque())
            times.append(now)
            while times[0] <= now - span.seconds:
                times.popleft()
            self._stale_at[key] = now + span.seconds
        if now >= self._sweep_at:
            self._sweep_at = now + _SWEEP_SECONDS
            self._drop(key for key, at in list(self._stale_at.items()) if at <= now)

    def _drop(self, keys: Iterable[str]) -> None:
        for key in keys:
            del self._times[key], self._stale_at[key]
