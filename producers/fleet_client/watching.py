"""How a task's course looks to a person at a terminal: its steps, its outcome, an exit code."""

import time
from collections.abc import Callable
from typing import Any

from fleet_client.client import FleetClient
from fleet_contracts.errors import TimedOut, UnknownTask
from fleet_contracts.outcome import TaskView
from fleet_contracts.states import TaskState

_ROUND_SECONDS = 1.0

_EXIT_CODES = {
    TaskState.SUCCEEDED: 0,
    TaskState.IN_REVIEW: 3,
    TaskState.DEAD: 4,
    TaskState.REJECTED: 5,
    TaskState.CANCELLED: 6,
    TaskState.EXPIRED: 6,
}

_NOT_SETTLED = 7


def watch(
    client: FleetClient,
    task_id: str,
    *,
    timeout_seconds: float,
    show: Callable[[dict[str, Any]], None],
) -> TaskView:
    """Call `show` with each step once, and again when its state changes, until all is settled.

    Gives the task as it stood when it settled or when the time was up.

    Raises:
        UnknownTask: No such task, or no worker took it in that time.
    """
    end = time.monotonic() + timeout_seconds
    seen: dict[Any, Any] = {}
    while True:
        left = end - time.monotonic()
        view = None
        try:
            view = client.wait(task_id, max(0.0, min(_ROUND_SECONDS, left)))
        except UnknownTask:
            if left <= _ROUND_SECONDS:
                raise
            continue
        except TimedOut:
            if left <= 0:
                view = client.status(task_id)
        for place, step in enumerate(client.journal(task_id)):
            key = step.get("seq", place)
            if seen.get(key) != step.get("state", "done"):
                seen[key] = step.get("state", "done")
                show(step)
        if view is not None:
            return view


def step_line(step: dict[str, Any]) -> str:
    """One line for one step of the journal."""
    parts = [str(step.get(name, "")) for name in ("seq", "kind", "name", "state")]
    return f"{parts[0]:>4}  {parts[1]:<10} {parts[2]:<28} {parts[3]}".rstrip()


def outcome_line(view: TaskView) -> str:
    """One line for the task's state, and its answer or the reason for there being none."""
    head = f"{view.state} ({view.agent})"
    if view.outcome is None:
        error = (view.last_error or {}).get("message")
        return f"{head}: {error}" if error else head
    text = view.outcome.answer or view.outcome.reason or ""
    offline = " [offline model]" if view.outcome.offline else ""
    sure = (
        f", confidence {view.outcome.confidence:.2f}" if view.outcome.confidence is not None else ""
    )
    return f"{view.state} ({view.agent}{sure}){offline}: {text}"


def exit_code(view: TaskView) -> int:
    """The exit code of `fleet` that stands for the task's state."""
    return _EXIT_CODES.get(view.state, _NOT_SETTLED)
