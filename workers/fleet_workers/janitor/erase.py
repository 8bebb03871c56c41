"""Works at requests to erase customers, in the store and in the session memory."""

from collections.abc import Callable, Iterable
from datetime import timedelta
from uuid import UUID

import structlog
from sqlalchemy import Engine

from fleet_contracts.errors import FleetError
from fleet_workers.store import erasure
from fleet_workers.store.engine import store_errors
from fleet_workers.store.erasure import CUT_OFF, Turn
from fleet_workers.telemetry.retention_meters import ERASURES_DONE

Forget = Callable[[str, Iterable[str]], int]
"""Deletes sessions of a tenant from the memory; gives how many there were."""

_AFTER_A_FAULT = timedelta(minutes=1)
log = structlog.get_logger()


def erase_some(
    engine: Engine, forget: Forget, *, only: UUID | None = None, cut_off: timedelta = CUT_OFF
) -> Turn | None:
    """Do one transaction's part of a request; None where none is to be worked at.

    Sessions are forgotten before the commit that takes their names away: a process that is killed
    in between forgets them again. `only` and `cut_off` as in `erasure.work`.

    Raises:
        Unavailable: The store or the session memory is away. The next turn does it again.
    """
    with store_errors(), engine.begin() as connection:
        turn = erasure.work(connection, only=only, cut_off=cut_off)
        if turn is not None and turn.sessions:
            forget(turn.erasure.tenant, turn.sessions)
    if turn is not None and turn.erasure.finished_at is not None:
        ERASURES_DONE.inc()
        log.info("erasure.done", erasure=str(turn.erasure.id), **turn.erasure.erased)
    return turn


class Eraser:
    """The janitor's part: one turn a call. Any number may be at work."""

    def __init__(self, engine: Engine, forget: Forget) -> None:
        self._engine = engine
        self._forget = forget

    def work(self) -> int:
        """Do one turn of the request that is due first; 0 where there is none.

        A request that fails waits a minute, so that others are not held up.
        """
        try:
            turn = erase_some(self._engine, self._forget)
        except FleetError:
            raise
        except Exception as error:
            self._put_off(error)
            raise
        return 0 if turn is None or turn.waits else 1

    def _put_off(self, error: Exception) -> None:
        with store_errors(), self._engine.begin() as connection:
            erasure.put_off_first(connection, error=type(error).__name__, wait=_AFTER_A_FAULT)
