"""Which task this thread works on, and at which step: for its log lines and error reports."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class RunScope:
    """What is known of the task at hand; filled in as the work goes on.

    `words` is the request's text, which must be in no log. `trace` is the task's W3C trace context.
    """

    task: str
    tenant: str
    words: str = field(default="", repr=False)
    agent: str | None = None
    epoch: int | None = None
    trace: str | None = None
    step: int | None = None
    step_kind: str | None = None

    def fields(self) -> dict[str, str | int]:
        """What every line of a log tells of it."""
        told = {
            "task": self.task,
            "tenant": self.tenant,
            "agent": self.agent,
            "epoch": self.epoch,
            "step": self.step,
            "step_kind": self.step_kind,
            "trace_id": self.trace.split("-")[1] if self.trace else None,
        }
        return {name: value for name, value in told.items() if value is not None}


_scope: ContextVar[RunScope | None] = ContextVar("run_scope", default=None)


def run_scope() -> RunScope | None:
    """The task at hand, or None between tasks."""
    return _scope.get()


@contextmanager
def working_on(scope: RunScope) -> Iterator[RunScope]:
    """Work on this task inside the block."""
    token = _scope.set(scope)
    try:
        yield scope
    finally:
        _scope.reset(token)


def note_claim(agent: str, epoch: int, trace: str | None) -> None:
    """Say who works on the task at hand, in which run, and which trace it belongs to."""
    scope = _scope.get()
    if scope is not None:
        scope.agent, scope.epoch, scope.trace = agent, epoch, trace


def note_step(number: int, kind: str) -> None:
    """Say at which step of its journal the task at hand is."""
    scope = _scope.get()
    if scope is not None:
        scope.step, scope.step_kind = number, kind
