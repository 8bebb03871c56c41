"""The step journal: what a task did, written `started` before and `done` after."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any, ClassVar, Protocol, Self, TypeVar

import structlog
from sqlalchemy import Connection, Engine

from fleet_contracts.errors import LeaseLost, Unavailable
from fleet_workers.store import audit_steps, endings
from fleet_workers.store.claims import Claim, lease_lost
from fleet_workers.store.endings import Ending
from fleet_workers.store.engine import store_errors
from fleet_workers.store.journal_rows import (
    CorruptJournal,
    PendingSteps,
    Step,
    StepKind,
    StepState,
    Usage,
    flush_parameters,
    read_failures,
    read_steps,
)
from fleet_workers.store.journal_statements import (
    ASK_AGAIN,
    KEEP_TEXT,
    LATE,
    RESUME,
    WRITES,
)
from fleet_workers.store.json_text import as_stored, json_text
from fleet_workers.store.outbox import Letter
from fleet_workers.store.statement import Statement

__all__ = [
    "CorruptJournal",
    "Journal",
    "Step",
    "StepKind",
    "StepState",
    "StoredJournal",
    "Usage",
    "read_steps",
]

T = TypeVar("T")
Post = Callable[[Connection], Sequence[Letter]]
"""Writes letters in the transaction it is given."""

log = structlog.get_logger()

_STORE_WAITS_SECONDS = (0.2, 0.5, 1.0, 2.0, 3.0, 3.0)  # a restart of PostgreSQL takes 1 to 5 s


class Journal(Protocol):
    """Where the loop reads and writes steps. The store has one, tests have one in memory."""

    def steps(self) -> list[Step]:
        """All steps in order, those not yet written included."""
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

    def flush(self) -> None:
        """Write what was noted, now.

        Raises:
            LeaseLost: Another worker holds the task; nothing is written.
        """
        ...

    def resume(self, seq: int) -> float:
        """Make sure, before a step is done again, that the task is still ours.

        Gives the seconds since the step was last asked for.

        Raises:
            LeaseLost: Another worker holds the task: do not do what was about to be done.
        """
        ...

    def ask_again(self, seq: int) -> None:
        """Note that the step is asked for once more, now.

        Raises:
            LeaseLost: Another worker holds the task: do not ask.
        """
        ...

    def finish(self, seq: int, result: Mapping[str, Any], usage: Usage | None = None) -> None:
        """Note a step as done: a write at once, what may be repeated with the next step.

        Raises:
            LeaseLost: Another worker holds the task.
        """
        ...

    def keep_text(self, body: str) -> str:
        """Keep a text that many steps share, once, and give its SHA-256 in hex."""
        ...


class StoredJournal:
    """The journal of one claimed task in PostgreSQL. Used by one thread.

    A step that may be repeated (a model call, a tool that reads) is written as done together with
    what follows it, in one statement and one commit: only the controller's own work, some
    milliseconds, lies between. A write is written as done at once.

    While the store is away, a write is tried again for some ten seconds, so that a restart of it
    throws no paid model call away.
    """

    # What this process knows to stand in a store, by the store's address and the text's hash.
    _kept_texts: ClassVar[set[tuple[str, str]]] = set()

    def __init__(self, engine: Engine, held: Claim) -> None:
        self._engine = engine
        self._held = held
        self._pending = PendingSteps()
        self._steps: list[Step] = []
        self._adds_steps = True
        self._repeated_delivery = held.deliveries > 1
        if not held.is_first:
            with store_errors(), engine.connect() as connection:
                self._steps = read_steps(connection, held.task_id)

    @classmethod
    def unread(cls, engine: Engine, held: Claim) -> Self:
        """The journal of a task whose rows are not to be read: it can only end the run.

        It adds no step to rows that it does not know: one in a gap would hide the gap.
        """
        journal = cls(engine, replace(held, is_first=True))
        journal._adds_steps = False
        return journal

    def steps(self) -> list[Step]:
        """All steps in order, those not yet written included."""
        return list(self._steps)

    def failures(self) -> list[dict[str, Any]]:
        """Every failed attempt so far, as its code and what is known, those not written included.

        Read by itself, so that it is there for a journal that could not be read as a whole.
        """
        with store_errors(), self._engine.connect() as connection:
            written = read_failures(connection, self._held.task_id)
        noted = [each for each in self._pending.added if each.kind is StepKind.FAILURE]
        return written + [{"code": each.name, **(each.result or {})} for each in noted]

    def record(self, kind: StepKind, name: str, result: Mapping[str, Any]) -> None:
        """Note a verdict; lost in a crash it is simply found again."""
        self._add(kind, name, StepState.DONE, request={}, result=result)

    def begin(self, kind: StepKind, name: str, request: Mapping[str, Any]) -> int:
        """Write a step as started, with all that was noted before it."""
        seq = self._add(kind, name, StepState.STARTED, request=request, result=None)
        self.flush()
        return seq

    def resume(self, seq: int) -> float:
        """Check the fence, and write this worker's epoch beside the step."""
        self.flush()
        return float(self._hold(RESUME, self._again(seq, "begun again")).begun_seconds_ago)

    def ask_again(self, seq: int) -> None:
        """Check the fence, and write the time beside the step."""
        self._hold(ASK_AGAIN, self._again(seq, "asked again"))

    def finish(self, seq: int, result: Mapping[str, Any], usage: Usage | None = None) -> None:
        """Note a step as done; a write is stored at once.

        The result of a write whose task was cancelled or expired meanwhile is kept for the
        record, and the error raised all the same.
        """
        begun = self._steps[seq]
        done = replace(begun, state=StepState.DONE, result=as_stored(result), usage=usage)
        self._steps[seq] = done
        self._pending.finished.append(done)
        if begun.request.get("effect") == "write":
            try:
                self.flush()
            except LeaseLost:
                self._note_late(done)
                raise

    def flush(self) -> None:
        """Write what was noted.

        Raises:
            LeaseLost: Another worker holds the task; nothing is written.
            Unavailable: The store is away; nothing is known to be written.
        """
        progress = self._repeated_delivery and bool(self._pending.finished)
        entries = audit_steps.parameters_of(self._held.agent, self._pending)
        parameters = flush_parameters(self._held.task_id, self._held.epoch, self._pending)
        self._hold(WRITES[progress, bool(entries)], parameters | entries)
        self._pending.clear()
        self._repeated_delivery = self._repeated_delivery and not progress

    def leave(self, ending: Ending, *, post: Post | None = None) -> list[Letter]:
        """End the run with all that was noted; gives the letters that `post` wrote, to be sent.

        Raises:
            LeaseLost: Another worker holds the task; nothing is written.
            Unavailable: The store is away; nothing is known to be written.
        """
        steps = self._pending if self._adds_steps else PendingSteps()

        def write() -> list[Letter]:
            if post is None:
                endings.leave(self._engine, self._held, ending, steps)
                return []
            with store_errors(), self._engine.begin() as connection:
                endings.leave(connection, self._held, ending, steps)
                return list(post(connection))

        letters = _patiently(write)
        self._pending.clear()
        return letters

    def keep_text(self, body: str) -> str:
        """Keep a text that many steps share, once, and give its SHA-256 in hex."""
        digest = sha256(body.encode("utf-8", "replace"))
        name = digest.hexdigest()
        kept = (str(self._engine.url), name)
        if kept not in self._kept_texts:
            parameters = {"hash": digest.digest(), "body": body.replace("\x00", "\u2400")}
            KEEP_TEXT.run(self._engine, parameters)
            self._kept_texts.add(kept)
        return name

    def _add(
        self,
        kind: StepKind,
        name: str,
        state: StepState,
        *,
        request: Mapping[str, Any],
        result: Mapping[str, Any] | None,
    ) -> int:
        step = Step(
            seq=len(self._steps),
            kind=kind,
            name=name,
            state=state,
            request=as_stored(request),
            result=as_stored(result),
        )
        self._steps.append(step)
        self._pending.added.append(step)
        return step.seq

    def _again(self, seq: int, how: str) -> dict[str, Any]:
        entries = audit_steps.parameters_again(self._held.agent, self._steps[seq], how)
        return {"task_id": self._held.task_id, "epoch": self._held.epoch, "seq": seq, **entries}

    def _hold(self, statement: Statement, parameters: Mapping[str, Any]) -> Any:
        """Run a statement that gives a row only where the task is still ours; gives that row."""
        row = _patiently(lambda: statement.run(self._engine, parameters))
        if row is None:
            raise lease_lost(self._held)
        return row

    def _note_late(self, step: Step) -> None:
        parameters = {
            "task_id": self._held.task_id,
            "epoch": self._held.epoch,
            "seq": step.seq,
            "result": json_text(step.result),
            **audit_steps.parameters_at_end(self._held.agent, step),
        }
        if LATE.run(self._engine, parameters) is not None:
            log.info("step.noted_late", step=step.seq, tool=step.name)


def _patiently(write: Callable[[], T]) -> T:
    """Repeat while the store is away. What was written without an answer is found by the fence."""
    for wait_seconds in _STORE_WAITS_SECONDS:
        try:
            return write()
        except Unavailable as error:
            log.warning("journal.store_unavailable", error=str(error))
            time.sleep(wait_seconds)
    return write()
