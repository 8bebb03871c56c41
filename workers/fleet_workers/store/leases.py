"""Keeps a worker process's presence and the leases of all its tasks, with one thread."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from threading import Event, Lock, Thread
from uuid import UUID

import structlog
from sqlalchemy import Connection, Engine, text

from fleet_contracts.errors import Unavailable
from fleet_workers.store import claims, pauses
from fleet_workers.store.claims import Claim, Holder, lease_lost
from fleet_workers.store.engine import single_statement
from fleet_workers.store.pauses import Pause
from fleet_workers.telemetry.counting import observe_run
from fleet_workers.telemetry.meters import LEASES_HELD, LEASES_LOST, RENEWALS_FAILED

log = structlog.get_logger()

PRESENCE_LOCKS = 74612
"""The first half of the advisory locks that mean a living worker; any number that is ours."""

_BE_PRESENT = text("SELECT pg_try_advisory_lock(:locks, :presence)")
_BE_CALLED = text("SELECT set_config('application_name', :name, false)")
_FIRST_LOOK_AFTER = timedelta(seconds=5)


@dataclass(slots=True)
class _Lease:
    epoch: int
    since: float
    ends_at: float  # on this process's monotonic clock, never later than in the store


class LeaseKeeper:
    """Holds the process's presence, and renews every lease it is told of until told to let go.

    The presence is an advisory lock of the store that lasts as long as the connection: a killed
    process loses it at once, one that hangs keeps it. The engine is the keeper's own, so that
    leases wait for no slot's work.
    """

    def __init__(self, engine: Engine, holder: Holder, *, every: timedelta) -> None:
        self._engine = engine
        self._holder = holder
        self._every_seconds = every.total_seconds()
        self._held: dict[UUID, _Lease] = {}
        self._pauses: Sequence[Pause] = ()
        self._new_name: str | None = None
        self._lock = Lock()
        self._stopped = Event()
        self._ready = Event()
        self._thread = Thread(target=self._run, name="leases", daemon=True)

    def start(self) -> None:
        """Begin; returns once the process is present in the store, or after five seconds."""
        self._thread.start()
        LEASES_HELD.set_function(lambda: len(self._held))
        self._ready.wait(_FIRST_LOOK_AFTER.total_seconds())

    def stop(self) -> None:
        """Stop renewing and give the presence up; leases still held run out."""
        self._stopped.set()
        self._thread.join(timeout=5)

    def hold(self, claim: Claim, *, since: float) -> None:
        """Renew this claim's lease from now on; it was asked for at `since` (time.monotonic).

        A slot that hung since an older claim of the same task does not end a newer one.
        """
        ends_at = since + self._holder.lease.total_seconds()
        lease = _Lease(epoch=claim.epoch, since=since, ends_at=ends_at)
        with self._lock:
            known = self._held.get(claim.task_id)
            if known is None or known.epoch < claim.epoch:
                self._held[claim.task_id] = lease

    def let_go(self, claim: Claim) -> None:
        """Renew it no longer."""
        with self._lock:
            lease = self._held.get(claim.task_id)
            if lease is not None and lease.epoch == claim.epoch:
                del self._held[claim.task_id]
        if lease is not None:
            observe_run(claim.agent, time.monotonic() - lease.since)

    def check(self, claim: Claim) -> None:
        """Make sure, by this process's own clock, that the lease still runs.

        It costs nothing, and stops a process that hung between two looks into the store.

        Raises:
            LeaseLost: It has ended, or was taken away.
        """
        with self._lock:
            lease = self._held.get(claim.task_id)
        if lease is None or lease.epoch != claim.epoch or lease.ends_at <= time.monotonic():
            raise lease_lost(claim)

    def is_paused(self, *, agent: str, tenant: str) -> bool:
        """Tell whether tasks of this agent and tenant were paused at the last look."""
        return pauses.is_covered(self._pauses, agent=agent, tenant=tenant)

    def rename(self, name: str) -> None:
        """Show the process under another name, from the next renewal on."""
        self._new_name = name

    @property
    def held(self) -> dict[UUID, int]:
        """Epochs of the tasks held now."""
        with self._lock:
            return {task_id: lease.epoch for task_id, lease in self._held.items()}

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                with single_statement(self._engine) as connection:
                    self._be_present(connection)
                    self._ready.set()
                    self._renew_for_ever(connection)
                    connection.invalidate()  # kept in a pool, it would hold the presence
            except Unavailable as error:
                RENEWALS_FAILED.inc()
                log.warning("lease.renewal_failed", tasks=len(self.held), error=str(error))
                self._stopped.wait(min(self._every_seconds, 0.5))
            except Exception:
                log.exception("lease.renewal_broke")
                self._stopped.wait(self._every_seconds)

    def _be_present(self, connection: Connection) -> None:
        parameters = {"locks": PRESENCE_LOCKS, "presence": self._holder.presence}
        if not connection.execute(_BE_PRESENT, parameters).scalar():
            # The server has not yet noticed that our earlier connection is gone.
            raise Unavailable("The presence is still held by an earlier connection.")

    def _renew_for_ever(self, connection: Connection) -> None:
        shown: str | None = None
        while True:
            asked_at = time.monotonic()
            if (name := self._new_name) != shown:
                connection.execute(_BE_CALLED, {"name": name})
                shown = name
            held = self.held
            kept = claims.renew(connection, held, self._holder)
            self._note(held, kept, asked_at)
            self._pauses = pauses.all_pauses(connection)
            if self._stopped.wait(self._every_seconds):
                return

    def _note(self, held: dict[UUID, int], kept: set[UUID], asked_at: float) -> None:
        ends_at = asked_at + self._holder.lease.total_seconds()
        lost = []
        with self._lock:
            for task_id, epoch in held.items():
                lease = self._held.get(task_id)
                if lease is None or lease.epoch != epoch:
                    continue
                if task_id in kept:
                    lease.ends_at = ends_at
                else:
                    lost.append(str(task_id))
                    del self._held[task_id]
        if lost:
            LEASES_LOST.inc(len(lost))
            log.info("lease.lost", tasks=lost)
