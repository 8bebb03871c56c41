"""Keeps the leases of all tasks that a process works on, with one thread and one statement."""

from datetime import timedelta
from threading import Event, Lock, Thread
from uuid import UUID

import structlog
from sqlalchemy import Engine

from fleet_contracts.errors import Unavailable
from fleet_workers.store import tasks
from fleet_workers.store.engine import store_errors
from fleet_workers.store.tasks import Claim

log = structlog.get_logger()


class LeaseKeeper:
    """Renews every lease it is told of until it is told to let go."""

    def __init__(self, engine: Engine, *, lease: timedelta, every: timedelta) -> None:
        self._engine = engine
        self._lease = lease
        self._every_seconds = every.total_seconds()
        self._held: dict[UUID, int] = {}
        self._lock = Lock()
        self._stopped = Event()
        self._thread = Thread(target=self._run, name="leases", daemon=True)

    def start(self) -> None:
        """Begin renewing."""
        self._thread.start()

    def stop(self) -> None:
        """Stop renewing; leases still held run out."""
        self._stopped.set()
        self._thread.join(timeout=5)

    def hold(self, claim: Claim) -> None:
        """Renew this claim's lease from now on."""
        with self._lock:
            self._held[claim.task_id] = claim.epoch

    def let_go(self, claim: Claim) -> None:
        """Renew it no longer."""
        with self._lock:
            if self._held.get(claim.task_id) == claim.epoch:
                del self._held[claim.task_id]

    @property
    def count(self) -> int:
        """Number of tasks held now."""
        with self._lock:
            return len(self._held)

    def _run(self) -> None:
        while not self._stopped.wait(self._every_seconds):
            with self._lock:
                held = dict(self._held)
            try:
                with store_errors(), self._engine.begin() as connection:
                    kept = tasks.renew(connection, held, lease=self._lease)
            except Unavailable as error:
                log.warning("lease.renewal_failed", tasks=len(held), error=str(error))
                continue
            if lost := held.keys() - kept:
                log.info("lease.lost", tasks=[str(task_id) for task_id in lost])
