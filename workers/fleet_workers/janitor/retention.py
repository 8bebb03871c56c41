"""Deletes what is older than the policy keeps it, and moves finished journals out of the way."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial

import structlog
from sqlalchemy import Engine

from fleet_workers.janitor.erase import Eraser, Forget
from fleet_workers.janitor.service import Chore, chores_at_work
from fleet_workers.retention_policy import RetentionSection
from fleet_workers.store import finished_steps, retention
from fleet_workers.store.engine import store_errors
from fleet_workers.store.retention import ClockLeapt, Deleted
from fleet_workers.telemetry import retention_meters

_JOURNALS_EVERY = timedelta(seconds=30)
_RETENTION_EVERY = timedelta(hours=1)
_ERASURES_EVERY = timedelta(seconds=2)
_JOURNALS = 200  # some 10 ms: then the other chores have their turn
_STOP_SECONDS = 2.0  # what is cut off is rolled back, and done by the next janitor
log = structlog.get_logger()


class RetentionClerk:
    """Goes through all tables, one batch a call; used by one thread. Any number may be at work."""

    def __init__(self, engine: Engine, policy: RetentionSection) -> None:
        self._engine = engine
        self._policy = policy
        self._round: Iterator[Deleted] | None = None
        self._rows: Counter[str] = Counter()

    def work(self) -> int:
        """Do one batch; gives 0 at the end of a round, so that the chore rests.

        Raises:
            Unavailable: The store is away. The next call begins a round anew.
        """
        if self._round is None:
            self._round, self._rows = retention.delete_old(self._engine, self._policy), Counter()
        try:
            deleted = next(self._round, None)
        except ClockLeapt as error:
            self._round = None
            retention_meters.CLOCK_REFUSED.set(1)
            log.error("retention.clock_leapt", error=str(error))  # noqa: TRY400 no fault of the code
            return 0
        except Exception:
            self._round = None
            raise
        retention_meters.CLOCK_REFUSED.set(0)
        if deleted is None:
            self._round = None
            self._tell()
            return 0
        if deleted.rows:
            self._rows[deleted.table] += deleted.rows
            retention_meters.ROWS_DELETED.labels(deleted.table).inc(deleted.rows)
        return 1

    def _tell(self) -> None:
        if self._rows:
            log.info("retention.deleted", **self._rows)


@contextmanager
def retention_at_work(
    engine: Engine, policy: RetentionSection, *, forget: Forget
) -> Iterator[None]:
    """Let all that concerns what is over be done until the block ends; `forget` as in `Eraser`.

    In a thread of its own: to find all tasks of a customer may take seconds, and nothing that is
    due shall wait for that.
    """
    chores = [
        Chore("journals", partial(move_journals, engine), every=_JOURNALS_EVERY),
        Chore("retention", RetentionClerk(engine, policy).work, every=_RETENTION_EVERY),
        Chore("erasures", Eraser(engine, forget).work, every=_ERASURES_EVERY),
    ]
    with chores_at_work("retention", chores, stop_seconds=_STOP_SECONDS):
        yield


def move_journals(engine: Engine) -> int:
    """Move journals of tasks that ended a day ago; gives how many were looked at.

    Raises:
        Unavailable: The store is away, or somebody read finished journals for long.
    """
    with store_errors(), engine.begin() as connection:
        return finished_steps.move_some(connection, limit=_JOURNALS)
