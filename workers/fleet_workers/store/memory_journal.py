"""A step journal in memory: for dry runs, and for tests of agents."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any

from fleet_workers.store.journal import Step, StepKind, StepState, Usage


class MemoryJournal:
    """A journal for one run. Give it the steps of an earlier one to see a crash resumed."""

    def __init__(self, steps: Iterable[Step] = ()) -> None:
        self._steps = list(steps)
        self.texts: dict[str, str] = {}

    def steps(self) -> list[Step]:
        """All steps in order."""
        return list(self._steps)

    def record(self, kind: StepKind, name: str, result: Mapping[str, Any]) -> None:
        """Add a verdict."""
        self._add(kind, name, StepState.DONE, request={}, result=result)

    def begin(self, kind: StepKind, name: str, request: Mapping[str, Any]) -> int:
        """Add a started step and give its number."""
        return self._add(kind, name, StepState.STARTED, request=request, result=None)

    def flush(self) -> None:
        """Everything is kept as it is noted."""

    def resume(self, seq: int) -> float:  # noqa: ARG002 the journal's signature
        """Nobody else can hold a task in memory, and what was begun before is long over."""
        return math.inf

    def ask_again(self, seq: int) -> None:
        """As in the store, where it notes the time."""

    def finish(self, seq: int, result: Mapping[str, Any], usage: Usage | None = None) -> None:
        """Note that a started step is done."""
        self._steps[seq] = replace(
            self._steps[seq], state=StepState.DONE, result=result, usage=usage
        )

    def keep_text(self, body: str) -> str:
        """Keep a text that many steps share, by its SHA-256 in hex."""
        name = sha256(body.encode("utf-8", "replace")).hexdigest()
        self.texts[name] = body
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
        seq = len(self._steps)
        self._steps.append(
            Step(seq=seq, kind=kind, name=name, state=state, request=request, result=result)
        )
        return seq
