"""Messages that wait on the broker, for people: never older than needed, and never waited for."""

import time
from collections.abc import Callable, Mapping, Sequence
from threading import Event, Lock, Thread

import structlog

from fleet_contracts.errors import Unavailable

log = structlog.get_logger(__name__)

_FRESH_SECONDS = 5.0
_PATIENCE_SECONDS = 0.3  # of a page; a broker that is well answers in some milliseconds


class QueueDepths:
    """Counts in a thread of its own, at most once in five seconds.

    `count` tells of one agent's queue; it may take as long as it likes, and raises Unavailable
    where the broker is away. A caller waits a third of a second at most.
    """

    def __init__(self, count: Callable[[str], int]) -> None:
        self._count = count
        self._lock = Lock()
        self._counting: Event | None = None
        self._known: Mapping[str, int] | None = None
        self._known_at = float("-inf")

    def look(self, agents: Sequence[str]) -> Mapping[str, int] | None:
        """Messages by agent, or None where the broker has not told lately."""
        with self._lock:
            if time.monotonic() - self._known_at < _FRESH_SECONDS:
                return self._known
            counting = self._counting
            if counting is None:
                counting = self._counting = Event()
                Thread(
                    target=self._refresh, args=(agents, counting), name="depths", daemon=True
                ).start()
        counting.wait(_PATIENCE_SECONDS)
        with self._lock:
            return self._known if counting.is_set() else None

    def _refresh(self, agents: Sequence[str], counting: Event) -> None:
        found: Mapping[str, int] | None = None
        try:
            found = {agent: self._count(agent) for agent in agents}
        except Unavailable as error:
            log.warning("web.broker_away", error=str(error))
        except Exception:
            log.exception("web.counting_broke")
        finally:
            with self._lock:
                self._known, self._known_at = found, time.monotonic()
                self._counting = None
            counting.set()
