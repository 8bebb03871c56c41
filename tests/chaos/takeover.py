"""Measures from the store how long the tasks of a killed worker wait for their next worker."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from uuid import UUID

from sqlalchemy import Engine, select
from sqlalchemy.exc import SQLAlchemyError

from chaos.pool import Death
from fleet_contracts.states import TaskState
from fleet_workers.store.tables import tasks

_POLL_SECONDS = 0.1


@dataclass(slots=True)
class _Orphan:
    worker: str
    epoch: int
    since: float


class TakeoverWatch:
    """Follows every task that a worker held when it was killed until somebody claims it again.

    While `is_calm` is false, nothing new is measured: a server that is away delays everybody.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._orphans: dict[UUID, _Orphan] = {}
        self._seconds: list[float] = []
        self._deaths: list[Death] = []
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="takeover", daemon=True)
        self.is_calm = True

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_details: object) -> None:
        self._ended.set()
        self._thread.join(timeout=10)

    def note_death(self, death: Death) -> None:
        with self._lock:
            self._deaths.append(death)

    def seconds(self) -> list[float]:
        """Every measured wait, the shortest first."""
        with self._lock:
            return sorted(self._seconds)

    def _run(self) -> None:
        while not self._ended.wait(_POLL_SECONDS):
            try:
                self._look()
            except SQLAlchemyError:  # the store is restarted: what is measured now is void
                with self._lock:
                    self._orphans.clear()
                    self._deaths.clear()

    def _look(self) -> None:
        with self._lock:
            deaths, self._deaths = self._deaths, []
        if not self.is_calm:
            self._orphans.clear()
            return
        if not deaths and not self._orphans:
            return
        with self._engine.begin() as connection:
            for death in deaths:
                held = connection.execute(
                    select(tasks.c.id, tasks.c.epoch, tasks.c.worker).where(
                        tasks.c.state == TaskState.RUNNING,
                        tasks.c.worker.like(f"%:{death.pid}"),
                    )
                )
                for row in held:
                    self._orphans[row.id] = _Orphan(
                        worker=row.worker, epoch=row.epoch, since=death.at
                    )
            rows = connection.execute(
                select(tasks.c.id, tasks.c.epoch, tasks.c.worker, tasks.c.state).where(
                    tasks.c.id.in_(list(self._orphans))
                )
            )
            self._settle({row.id: (row.worker, row.epoch, row.state) for row in rows})

    def _settle(self, seen: Mapping[UUID, tuple[str | None, int, str]]) -> None:
        now = time.time()
        for task_id, (worker, epoch, state) in seen.items():
            orphan = self._orphans[task_id]
            taken = state == TaskState.RUNNING and (worker, epoch) != (orphan.worker, orphan.epoch)
            if taken or state not in {TaskState.RUNNING, TaskState.QUEUED}:
                with self._lock:
                    self._seconds.append(now - orphan.since)
                del self._orphans[task_id]
