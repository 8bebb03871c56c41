"""Who stands by during a campaign: a person who decides reviews, and who wakes stalled workers."""

import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, select
from sqlalchemy.exc import SQLAlchemyError

from chaos.judge import applied_effects
from chaos.marks import Ask, Marks, Read
from chaos.pool import WorkerPool
from chaos.scenarios import SLOW_SECONDS, ChaosTask
from fleet_contracts.outcome import ReviewKind
from fleet_contracts.states import TaskState
from fleet_workers.review.decisions import Ruling, decide
from fleet_workers.store import reviews
from fleet_workers.store.reviews import ReviewItem
from fleet_workers.store.tables import tasks

_LOOK_SECONDS = 0.5
_AT_ONCE = 200
_SETTLED_AFTER = timedelta(seconds=SLOW_SECONDS)
"""A request that is on its way may still be done: who looks sooner sees too little."""


class Reviewer:
    """Approves what needs approval. An action in doubt is looked up first: done is not redone."""

    def __init__(
        self, engine: Engine, marks: Marks, business: str, promised: Mapping[str, ChaosTask]
    ) -> None:
        self._engine = engine
        self._marks = marks
        self._business = business
        self._promised = promised
        self._doubted: set[str] = set()
        self.decisions = 0

    def look(self) -> None:
        """Decide everything that waits and is this person's to decide."""
        with self._engine.begin() as connection:
            items = reviews.waiting(connection, tenant=None, limit=_AT_ONCE)
        refs = {task.id: ref for ref, task in list(self._promised.items())}
        for item in items:
            if (ref := refs.get(item.task_id)) is not None:
                self._decide(item, ref)

    @property
    def doubted(self) -> int:
        """Number of tasks that came to a review in doubt."""
        return len(self._doubted)

    def _decide(self, item: ReviewItem, ref: str) -> None:
        task = self._promised[ref]
        ruling = Ruling.APPROVE
        if item.kind is ReviewKind.IN_DOUBT and task.script.may_be_in_doubt:
            if datetime.now(UTC) - item.created_at < _SETTLED_AFTER:
                return
            self._doubted.add(ref)
            if applied_effects(self._business, of=task.customer)[ref]:
                ruling = Ruling.REJECT
        elif item.kind is ReviewKind.APPROVAL and task.script.needs_approval:
            self._marks.make("decided", ref, "review")
        elif item.kind is not ReviewKind.LOW_CONFIDENCE or ref not in self._doubted:
            return  # nothing that should have come here: the judge finds it
        with self._engine.begin() as connection:
            decide(
                connection,
                item.id,
                tenant=None,
                ruling=ruling,
                decided_by="chaos",
                text="It was done before." if ruling is Ruling.REJECT else "",
            )
        self.decisions += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Revival:
    """A worker that was stalled past its lease and went on; `held` are epochs of its tasks."""

    pid: int
    at: float
    held: Mapping[str, int]


@dataclass(slots=True)
class Reviver:
    """Lets a stopped worker go on once its leases have ended."""

    engine: Engine
    pool: WorkerPool
    promised: Mapping[str, ChaosTask]
    stalled_seconds: float
    revivals: list[Revival] = field(default_factory=list)
    _held: dict[int, Mapping[str, int]] = field(default_factory=dict)

    def look(self) -> None:
        for pid, since in self.pool.stopped().items():
            if pid not in self._held:
                self._held[pid] = self._held_by(pid)
            if time.time() - since > self.stalled_seconds:
                self.revivals.append(Revival(pid=pid, at=time.time(), held=self._held.pop(pid)))
                self.pool.revive(pid)

    def _held_by(self, pid: int) -> Mapping[str, int]:
        refs = {task.id: ref for ref, task in list(self.promised.items())}
        query = select(tasks.c.id, tasks.c.epoch).where(
            tasks.c.state == TaskState.RUNNING, tasks.c.worker.like(f"%:{pid}")
        )
        with self.engine.begin() as connection:
            rows = connection.execute(query)
            return {refs[row.id]: row.epoch for row in rows if row.id in refs}


class Attendance:
    """Runs the attendants' looks in a thread, through every outage, until it is left."""

    def __init__(self, *looks: Callable[[], None]) -> None:
        self._looks = looks
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="attendants", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_details: object) -> None:
        self._ended.set()
        self._thread.join(timeout=30)

    def _run(self) -> None:
        while not self._ended.wait(_LOOK_SECONDS):
            for look in self._looks:
                with contextlib.suppress(SQLAlchemyError):  # the store is restarted on purpose
                    look()


def late_writes(asks: Sequence[Ask], revivals: Sequence[Revival]) -> list[str]:
    """Writes that a revived worker asked for in the name of a task it had lost meanwhile."""
    return [f"{ask.ref} by process {ask.pid}" for ask in asks if _is_late(ask, revivals)]


def late_turns(reads: Sequence[Read], revivals: Sequence[Revival]) -> set[tuple[str, int]]:
    """Model replies that a revived worker read for a task it had lost: to no effect, but paid."""
    return {(read.ref, read.replies) for read in reads if _is_late(read, revivals)}


def _is_late(deed: Ask | Read, revivals: Sequence[Revival]) -> bool:
    """Tell whether a process did something after its revival under a claim from before it."""
    return any(
        deed.pid == revival.pid
        and deed.at >= revival.at
        and deed.epoch <= revival.held.get(deed.ref, -1)
        for revival in revivals
    )
