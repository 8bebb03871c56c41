"""What a journal still has to write, and the part of a statement that writes it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, select

from fleet_contracts.errors import PermanentError
from fleet_workers.store import finished_steps
from fleet_workers.store.json_text import json_text
from fleet_workers.store.tables import steps
from fleet_workers.telemetry.counting import count_journal


class StepKind(StrEnum):
    """What sort of step a journal row records."""

    INBOUND = "inbound"
    MEMORY = "memory"
    PLAN = "plan"
    GATE = "gate"
    TOOL = "tool"
    OUTBOUND = "outbound"
    CONFIDENCE = "confidence"
    REVIEW = "review"
    TRIAGE = "triage"
    FAILURE = "failure"


class StepState(StrEnum):
    """How far a step is. A `started` step of a worker that died is in doubt."""

    STARTED = "started"
    DONE = "done"


class CorruptJournal(PermanentError):
    """A row of the journal cannot be read; the task must not go on from a guess."""

    code = "corrupt_journal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a model call took. `cost_usd` is None where the price is not known."""

    model: str
    tokens: int
    cost_usd: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One row of the journal. `result` is None until the step is done.

    `epoch` is that of the run which wrote it last; 0 for one that this run adds.
    """

    seq: int
    kind: StepKind
    name: str
    state: StepState
    request: Mapping[str, Any]
    result: Mapping[str, Any] | None = None
    usage: Usage | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    epoch: int = 0


@dataclass(slots=True)
class PendingSteps:
    """Rows to add, and results of rows that stand as started, until the next write takes them."""

    added: list[Step] = field(default_factory=list)
    finished: list[Step] = field(default_factory=list)

    def clear(self) -> None:
        """Forget what has been written."""
        self.added.clear()
        self.finished.clear()


# The caller puts a CTE called `fence` before this, with one row where the task is still held.
# A repeat of a statement whose answer was lost finds its own rows: hence DO NOTHING and 'started'.
# Rows come as JSON: a driver spends more on an array for each column than on all the rest.
FLUSH_CTES = """
finished AS (
    UPDATE steps SET state = 'done', epoch = :epoch, result = f.result, model = f.model,
        tokens = f.tokens, cost_usd = f.cost_usd, finished_at = clock_timestamp()
    FROM fence, json_to_recordset(CAST(:finished_rows AS json))
        AS f(seq integer, result jsonb, model text, tokens integer, cost_usd numeric)
    WHERE steps.task_id = :task_id AND steps.seq = f.seq AND steps.state = 'started'
    RETURNING steps.seq
),
added AS (
    INSERT INTO steps (task_id, seq, epoch, kind, name, state, request, result,
        started_at, finished_at)
    SELECT :task_id, a.seq, :epoch, a.kind, a.name, a.state, a.request, a.result,
        clock_timestamp(), CASE WHEN a.state = 'done' THEN clock_timestamp() END
    FROM fence, json_to_recordset(CAST(:added_rows AS json))
        AS a(seq integer, kind text, name text, state text, request jsonb, result jsonb)
    ON CONFLICT (task_id, seq) DO NOTHING
    RETURNING seq
)
"""


def flush_parameters(task_id: UUID, epoch: int, pending: PendingSteps) -> dict[str, Any]:
    """The parameters of `FLUSH_CTES`."""
    finished = [_finished(step) for step in pending.finished]
    added = [_added(step) for step in pending.added]
    parameters: dict[str, Any] = {
        "task_id": task_id,
        "epoch": epoch,
        "finished_rows": json_text(finished) if finished else "[]",
        "added_rows": json_text(added) if added else "[]",
    }
    if finished or added:
        written = len(parameters["finished_rows"]) + len(parameters["added_rows"])
        count_journal([step.kind for step in pending.added], written)
    return parameters


def _finished(step: Step) -> dict[str, Any]:
    row: dict[str, Any] = {"seq": step.seq, "result": step.result}
    if step.usage is not None:
        cost = step.usage.cost_usd
        row["model"], row["tokens"] = step.usage.model, step.usage.tokens
        row["cost_usd"] = None if cost is None else str(cost)
    return row


def _added(step: Step) -> dict[str, Any]:
    row = {
        "seq": step.seq,
        "kind": step.kind,
        "name": step.name,
        "state": step.state,
        "request": step.request,
    }
    return row if step.result is None else {**row, "result": step.result}


def read_steps(connection: Connection, task_id: UUID) -> list[Step]:
    """All steps of a task in order.

    Raises:
        CorruptJournal: A row is missing or cannot be understood.
    """
    found = [_step(row) for row in finished_steps.rows_of(connection, task_id)]
    for place, step in enumerate(found):
        if step.seq != place:
            raise CorruptJournal(
                f"Step {place} of task {task_id} is missing from its journal: restore the row from "
                "a backup and replay the dead letter, or submit the request anew."
            )
    return found


def read_failures(connection: Connection, task_id: UUID) -> list[dict[str, Any]]:
    """The failed attempts in a task's journal, in order, as far as they can be read."""
    rows = connection.execute(
        select(steps.c.name, steps.c.result)
        .where(steps.c.task_id == task_id, steps.c.kind == StepKind.FAILURE)
        .order_by(steps.c.seq)
    )
    return [
        {"code": row.name, **(row.result if isinstance(row.result, dict) else {})} for row in rows
    ]


def _step(row: Row[Any]) -> Step:
    usage = None
    if row.model is not None:
        usage = Usage(model=row.model, tokens=row.tokens or 0, cost_usd=row.cost_usd)
    try:
        kind, state = StepKind(row.kind), StepState(row.state)
        request, result = _object(row.request), _object(row.result)
        if request is None or (state is StepState.DONE and result is None):
            raise ValueError("its content is missing")  # noqa: TRY301 one place explains all faults
    except ValueError as error:
        raise CorruptJournal(
            f"Step {row.seq} of task {row.task_id} cannot be read ({error}): mend the row and "
            "replay the dead letter, or submit the request anew."
        ) from error
    return Step(
        seq=row.seq,
        kind=kind,
        name=row.name,
        state=state,
        request=request,
        result=result,
        usage=usage,
        started_at=row.started_at,
        finished_at=row.finished_at,
        epoch=row.epoch,
    )


def _object(value: object) -> dict[str, Any] | None:
    if value is None or isinstance(value, dict):
        return value
    raise ValueError("its content is no JSON object")
