"""Adds up what models were asked in a process, and writes it down once a second."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Lock, Timer
from typing import Final

import structlog
from sqlalchemy import Engine

from fleet_contracts.errors import Unavailable
from fleet_workers.store.engine import store_errors
from fleet_workers.store.model_use import Sums, Use, UseKey, note_sums
from fleet_workers.telemetry.counting import count_reply

EVERY_SECONDS: Final = 1.0
"""A statement for each reply would cost a task a fifth of its processor time again."""
_AWAY_SECONDS = 5.0

NoteUse = Callable[[Use], None]

log = structlog.get_logger(__name__)


class UseCounter:
    """What this process has noted and not written yet; safe to use from every slot.

    While the store is away it is kept. A process that is killed loses the last second of it: these
    are figures, the money itself is counted in the ledger, call by call.
    """

    def __init__(self, engine: Engine, *, every_seconds: float = EVERY_SECONDS) -> None:
        self._engine = engine
        self._every_seconds = every_seconds
        self._sums: dict[UseKey, Sums] = {}
        self._timer: Timer | None = None
        self._is_closed = False
        self._lock = Lock()

    def note(self, use: Use) -> None:
        """Add one reply; it asks nobody."""
        key = use.key
        with self._lock:
            self._add(key, use.sums)
            self._arm(self._every_seconds)
        count_reply(
            agent=key.agent,
            model=key.model,
            tier=key.tier,
            source=key.source,
            tokens={
                "input": use.prompt_tokens,
                "cached": use.cached_tokens,
                "output": use.completion_tokens,
            },
            cost_usd=use.cost_usd,
            saved_usd=use.saved_usd,
        )

    def flush(self) -> bool:
        """Write what was noted, and tell whether the store took it; if not, it is kept."""
        with self._lock:
            sums, self._sums = self._sums, {}
        unwritten = self._write(sums)
        with self._lock:
            for key, each in unwritten.items():
                self._add(key, each)
        return not unwritten

    def close(self) -> None:
        """Write what is left. What the store does not take now is lost."""
        with self._lock:
            self._is_closed = True
            if self._timer is not None:
                self._timer.cancel()
        self.flush()

    def _write(self, sums: Mapping[UseKey, Sums]) -> Mapping[UseKey, Sums]:
        """Gives what the store did not take now."""
        if not sums:
            return {}
        try:
            with store_errors(), self._engine.begin() as connection:
                note_sums(connection, sums)
        except Unavailable as error:
            log.warning("model_use.store_away", error=str(error))
            return sums
        except Exception:
            if len(sums) == 1:
                log.exception("model_use.refused", replies=[str(each) for each in sums])
                return {}
            # One that the store refuses takes no other with it.
            left = (self._write({key: each}) for key, each in sums.items())
            return {key: each for one in left for key, each in one.items()}
        return {}

    def _tick(self) -> None:
        with self._lock:
            self._timer = None
        if not self.flush():
            with self._lock:
                self._arm(_AWAY_SECONDS)

    def _arm(self, seconds: float) -> None:
        if self._timer is None and not self._is_closed:
            self._timer = Timer(seconds, self._tick)
            self._timer.daemon = True
            self._timer.start()

    def _add(self, key: UseKey, sums: Sums) -> None:
        found = self._sums.get(key)
        self._sums[key] = sums if found is None else found + sums


def ignore(_use: Use) -> None:
    """Note nothing; for runs that change nothing."""


@contextmanager
def counted_use(engine: Engine | None) -> Iterator[NoteUse]:
    """Note replies while this is open; without a store nothing is noted."""
    if engine is None:
        yield ignore
        return
    counter = UseCounter(engine)
    try:
        yield counter.note
    finally:
        counter.close()
