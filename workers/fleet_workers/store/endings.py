"""Every way out of `running`: what changes in the task's row, and the statement that does it."""

from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from typing import Any

from fleet_contracts.outcome import Outcome
from fleet_contracts.states import TaskState
from fleet_workers.store.audit_steps import AUDIT_CTE, parameters_of
from fleet_workers.store.claims import Claim, lease_lost
from fleet_workers.store.journal_rows import FLUSH_CTES, PendingSteps, flush_parameters
from fleet_workers.store.json_text import json_text
from fleet_workers.store.statement import Statement, Where
from fleet_workers.telemetry.counting import (
    count_ended,
    count_run,
    observe_wait,
    observe_whole,
)

Ending = Mapping[str, Any]
"""New values by column. `due_in` is a time from now; JSON columns are given as JSON text."""

_EXPRESSIONS = {
    "state": ":state",
    "release": ":release",
    "outcome": "CAST(:outcome AS jsonb)",
    "last_error": "CAST(:last_error AS jsonb)",
    "attempts": ":attempts",
    "deliveries": ":deliveries",
    "agent": ":agent",
}

# A task that was to wait for its time tells nothing of how busy the fleet is.
_LEFT_OPEN = """
    CASE WHEN waits THEN NULL ELSE
        CAST(EXTRACT(EPOCH FROM started_at - submitted_at) AS double precision)
    END AS wait_seconds"""
_LEFT = f"""{_LEFT_OPEN},
    CASE WHEN waits THEN NULL ELSE
        CAST(EXTRACT(EPOCH FROM now() - submitted_at) AS double precision)
    END AS whole_seconds,
    EXISTS (SELECT FROM reviews WHERE reviews.task_id = fence.id) AS asked_person
"""


def succeeded(outcome: Outcome, release: str) -> Ending:
    """End a task with its result."""
    return {
        "state": TaskState.SUCCEEDED,
        "outcome": _outcome(outcome),
        "release": release,
        "finished": True,
    }


def rejected(outcome: Outcome, release: str) -> Ending:
    """End a task that was refused; its outcome says why."""
    return {**succeeded(outcome, release), "state": TaskState.REJECTED}


def parked(outcome: Outcome, release: str | None) -> Ending:
    """Put a task before a person. It holds nothing while it waits."""
    return {
        "state": TaskState.IN_REVIEW,
        "outcome": _outcome(outcome),
        "release": release,
        "deliveries": 0,
    }


def retrying(
    held: Claim, *, delay: timedelta, error: Mapping[str, Any], counts: bool = True
) -> Ending:
    """Let a task wait for its next attempt; where `counts`, this one is used up."""
    return {
        "state": TaskState.RETRYING,
        "attempts": held.attempts + counts,
        "deliveries": 0,
        "last_error": json_text(dict(error)),
        "due_in": delay,
    }


def waiting(held: Claim, *, delay: timedelta) -> Ending:
    """Let a task wait as if this claim had not been."""
    return {
        "state": TaskState.RETRYING,
        "deliveries": held.deliveries - 1,
        "due_in": delay,
    }


def dead(outcome: Outcome, error: Mapping[str, Any]) -> Ending:
    """Give a task up. The caller writes the dead letter in the same transaction."""
    return {
        "state": TaskState.DEAD,
        "outcome": _outcome(outcome),
        "last_error": json_text(dict(error)),
        "finished": True,
    }


def handed_back(*, agent: str | None = None, with_message: bool = True) -> Ending:
    """Queue a task again without counting an attempt, for `agent` where one is named.

    Without a message the janitor wakes it as soon as it may run.
    """
    return {
        "state": TaskState.QUEUED,
        "deliveries": 0,
        "woken": with_message,
        **({"agent": agent} if agent else {}),
    }


def worker_lost(held: Claim) -> Ending:
    """Queue a task whose own process died; this delivery is counted."""
    return {"state": TaskState.QUEUED, "deliveries": held.deliveries, "woken": True}


def expired() -> Ending:
    """End a task whose deadline has passed."""
    return {"state": TaskState.EXPIRED, "finished": True}


def leave(where: Where, held: Claim, ending: Ending, pending: PendingSteps | None = None) -> None:
    """End a run, and write the steps not yet written, in one statement.

    Raises:
        LeaseLost: Another worker holds the task; nothing is written.
    """
    pending = pending or PendingSteps()
    parameters = flush_parameters(held.task_id, held.epoch, pending)
    entries = parameters_of(held.agent, pending)
    statement = _statement(tuple(sorted(ending)), ending.get("woken"), bool(entries))
    left = statement.run(where, {**parameters, **entries, **ending})
    if left is None:
        raise lease_lost(held)
    _count(held, ending, left)


@cache
def _statement(names: tuple[str, ...], woken: bool | None, audited: bool) -> Statement:
    changes = [f"{name} = {_EXPRESSIONS[name]}" for name in names if name in _EXPRESSIONS]
    if "due_in" in names:
        changes.append("due_at = now() + :due_in")
    if "finished" in names:
        changes.append("finished_at = now()")
    if woken is not None:
        changes.append(f"woken_at = {'now()' if woken else 'NULL'}")
    return Statement(f"""
        WITH fence AS (
            UPDATE tasks SET worker = NULL, presence = NULL, lease_until = NULL,
                silent_from = NULL, {", ".join(changes)}
            WHERE id = :task_id AND epoch = :epoch AND state = 'running'
            RETURNING id, tenant, traceparent, submitted_at, started_at,
                COALESCE(envelope ->> 'not_before', envelope ->> 'debounce_key')
                    IS NOT NULL AS waits
        ), {FLUSH_CTES} {f", {AUDIT_CTE}" if audited else ""}
        SELECT {_LEFT if "finished" in names else _LEFT_OPEN} FROM fence
    """)  # noqa: S608 names of columns come from this file


def _count(held: Claim, ending: Ending, left: Any) -> None:
    """Count what a run came to, and how long its task waited and took."""
    state = ending["state"]
    count_run(held.agent, state)
    if held.epoch == 1 and left.wait_seconds is not None:
        observe_wait(held.agent, left.wait_seconds)
    if "finished" in ending:
        count_ended(held.agent, state)
        alone = state == TaskState.SUCCEEDED and not left.asked_person
        if alone and left.whole_seconds is not None:
            observe_whole(held.agent, left.whole_seconds)


def _outcome(outcome: Outcome) -> str:
    return json_text(outcome.model_dump(mode="json"))
