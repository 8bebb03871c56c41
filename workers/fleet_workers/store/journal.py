"""The step journal: what a task did, written `started` before and `done` after."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import Connection, Engine, Row, func, insert, select, update

from fleet_contracts.errors import LeaseLost
from fleet_contracts.states import TaskState
from fleet_workers.store.engine import store_errors
from fleet_workers.store.tables import steps, tasks
from fleet_workers.store.tasks import Claim


class StepKind(StrEnum):
    """What sort of step a journal row records."""

    INBOUND = "inbound"
    MEMORY = "memory"
    PLAN = "plan"
    GATE = "gate"
    TOOL = "tool"
    CONFIDENCE = "confidence"
    REVIEW = "review"
    TRIAGE = "triage"
    FAILURE = "failure"


class StepState(StrEnum):
    """How far a step is. A `started` step of a worker that died is in doubt."""

    STARTED = "started"
    DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a model call took. `cost_usd` is None where the price is not known."""

    model: str
    tokens: int
    cost_usd: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One row of the journal. `result` is None until the step is done."""

    seq: int
    kind: StepKind
    name: str
    state: StepState
    request: Mapping[str, Any]
    result: Mapping[str, Any] | None = None
    usage: Usage | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None


class Journal(Protocol):
    """Where the loop reads and writes steps. The store has one, tests have one in memory."""

    def steps(self) -> list[Step]:
        """All steps in order, those not yet flushed included."""
        ...

    def record(self, kind: StepKind, name: str, result: Mapping[str, Any]) -> None:
        """Note a verdict. It is written with the next step that touches the outside."""
        ...

    def begin(self, kind: StepKind, name: str, request: Mapping[str, Any]) -> int:
        """Write a step as started and give its number.

        Raises:
            LeaseLost: Another worker holds the task: do not do what was about to be done.
        """
        ...

    def resume(self, seq: int) -> None:
        """Make sure, before a step is done again, that the task is still ours.

        Raises:
            LeaseLost: Another worker holds the task: do not do what was about to be done.
        """
        ...

    def finish(self, seq: int, result: Mapping[str, Any], usage: Usage | None = None) -> None:
        """Write a step as done.

        Raises:
            LeaseLost: Another worker holds the task.
        """
        ...


class StoredJournal:
    """The journal of one claimed task in PostgreSQL. Used by one thread."""

    def __init__(self, engine: Engine, held: Claim) -> None:
        self._engine = engine
        self._held = held
        self._pending: list[Step] = []
        with store_errors(), engine.begin() as connection:
            self._steps = read_steps(connection, held.task_id)

    def steps(self) -> list[Step]:
        """All steps in order, those not yet flushed included."""
        return list(self._steps)

    def record(self, kind: StepKind, name: str, result: Mapping[str, Any]) -> None:
        """Note a verdict; lost in a crash it is simply found again."""
        step = Step(
            seq=len(self._steps),
            kind=kind,
            name=name,
            state=StepState.DONE,
            request={},
            result=result,
        )
        self._steps.append(step)
        self._pending.append(step)

    def begin(self, kind: StepKind, name: str, request: Mapping[str, Any]) -> int:
        """Write a step as started, with all verdicts noted before it, in one transaction."""
        step = Step(
            seq=len(self._steps), kind=kind, name=name, state=StepState.STARTED, request=request
        )
        with self.transaction() as connection:
            self._insert(connection, step)
        self._steps.append(step)
        return step.seq

    def resume(self, seq: int) -> None:
        """Check the fence, and write this worker's epoch beside the step."""
        with self.transaction() as connection:
            connection.execute(
                update(steps)
                .where(steps.c.task_id == self._held.task_id, steps.c.seq == seq)
                .values(epoch=self._held.epoch)
            )

    def finish(self, seq: int, result: Mapping[str, Any], usage: Usage | None = None) -> None:
        """Write a step as done."""
        begun = self._steps[seq]
        with self.transaction() as connection:
            connection.execute(
                update(steps)
                .where(steps.c.task_id == self._held.task_id, steps.c.seq == seq)
                .values(
                    state=StepState.DONE,
                    epoch=self._held.epoch,
                    result=dict(result),
                    finished_at=func.clock_timestamp(),
                    model=usage.model if usage else None,
                    tokens=usage.tokens if usage else None,
                    cost_usd=usage.cost_usd if usage else None,
                )
            )
        self._steps[seq] = Step(
            seq=seq,
            kind=begun.kind,
            name=begun.name,
            state=StepState.DONE,
            request=begun.request,
            result=result,
            usage=usage,
        )

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction that holds the fence and writes the verdicts noted so far.

        It locks the task's row against a newer claim: a claim that comes at the same time waits
        for the commit, so the new holder reads all that was written.

        Raises:
            LeaseLost: Another worker holds the task; nothing is written.
            Unavailable: The store is away; nothing is known to be written.
        """
        with store_errors(), self._engine.begin() as connection:
            self._check_fence(connection)
            for step in self._pending:
                self._insert(connection, step)
            yield connection
        self._pending.clear()

    def _check_fence(self, connection: Connection) -> None:
        fence = connection.execute(
            select(tasks.c.id)
            .where(
                tasks.c.id == self._held.task_id,
                tasks.c.epoch == self._held.epoch,
                tasks.c.state == TaskState.RUNNING,
            )
            .with_for_update(read=True)
        ).scalar()
        if fence is None:
            raise LeaseLost(f"Task {self._held.task_id} is held by another worker, or cancelled.")

    def _insert(self, connection: Connection, step: Step) -> None:
        done = step.state is StepState.DONE
        connection.execute(
            insert(steps).values(
                task_id=self._held.task_id,
                seq=step.seq,
                epoch=self._held.epoch,
                kind=step.kind,
                name=step.name,
                state=step.state,
                request=dict(step.request),
                result=dict(step.result) if step.result is not None else None,
                started_at=func.clock_timestamp(),
                finished_at=func.clock_timestamp() if done else None,
            )
        )


def read_steps(connection: Connection, task_id: UUID) -> list[Step]:
    """All steps of a task in order."""
    rows = connection.execute(select(steps).where(steps.c.task_id == task_id).order_by(steps.c.seq))
    return [_step(row) for row in rows]


def _step(row: Row[Any]) -> Step:
    usage = None
    if row.model is not None:
        usage = Usage(model=row.model, tokens=row.tokens, cost_usd=row.cost_usd)
    return Step(
        seq=row.seq,
        kind=StepKind(row.kind),
        name=row.name,
        state=StepState(row.state),
        request=row.request,
        result=row.result,
        usage=usage,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )
