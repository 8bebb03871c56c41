"""Tasks as their producers and operators see them. Reads only."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Row, func, select

from fleet_contracts.outcome import TaskView
from fleet_contracts.states import TaskState
from fleet_workers.store import finished_steps, put_off
from fleet_workers.store.pools import load_by_agent
from fleet_workers.store.tables import tasks

MOST_ENDED: Final = 10_000
"""Ended tasks that an overview counts at most."""
_A_DAY: Final = timedelta(days=1)


def view(connection: Connection, task_id: UUID, *, tenant: str | None) -> TaskView | None:
    """One task as its producer sees it; None in another tenant. `tenant=None` sees all.

    `outcome.replaced_by` of a debounced task is the one that stands in its place by now.
    """
    query = select(*_VIEW_COLUMNS).where(tasks.c.id == task_id)
    if tenant is not None:
        query = query.where(tasks.c.tenant == tenant)
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    found = _view(row)
    if found.outcome is None or found.outcome.replaced_by is None:
        return found
    last = put_off.successor_of(connection, task_id)
    return found.model_copy(
        update={"outcome": found.outcome.model_copy(update={"replaced_by": last})}
    )


def recent(
    connection: Connection,
    *,
    tenant: str | None,
    states: Iterable[TaskState] = (),
    limit: int = 50,
) -> list[TaskView]:
    """The newest tasks first, optionally in some states only."""
    query = select(*_VIEW_COLUMNS).order_by(tasks.c.created_at.desc()).limit(limit)
    if tenant is not None:
        query = query.where(tasks.c.tenant == tenant)
    if wanted := list(states):
        query = query.where(tasks.c.state.in_(wanted))
    return [_view(row) for row in connection.execute(query)]


def envelope_of(connection: Connection, task_id: UUID) -> Mapping[str, Any] | None:
    """The envelope as it was accepted, or None for a task that is not there."""
    found: Mapping[str, Any] | None = connection.execute(
        select(tasks.c.envelope).where(tasks.c.id == task_id)
    ).scalar()
    return found


def epochs_of(connection: Connection, task_id: UUID) -> dict[int, int]:
    """By which claim each step of a task was written last: epochs by the steps' numbers."""
    return {row.seq: row.epoch for row in finished_steps.rows_of(connection, task_id)}


def count_by_state(connection: Connection, *, tenant: str | None) -> dict[tuple[str, str], int]:
    """Number of tasks by agent and state: all that are open, and what ended within a day.

    Of those that ended the newest `MOST_ENDED` are counted, so that it takes no longer in a store
    with millions of them.
    """
    counts: dict[tuple[str, str], int] = {}
    for agent, load in load_by_agent(connection, tenant=tenant).items():
        for state, number in (
            (TaskState.QUEUED, load.queued + load.put_off),
            (TaskState.RUNNING, load.running),
            (TaskState.RETRYING, load.retrying),
            (TaskState.IN_REVIEW, load.in_review),
        ):
            if number:
                counts[agent, state] = number
    newest = (
        select(tasks.c.agent, tasks.c.state)
        .where(tasks.c.finished_at.is_not(None), tasks.c.finished_at > func.now() - _A_DAY)
        .order_by(tasks.c.finished_at.desc())
        .limit(MOST_ENDED)
    )
    if tenant is not None:
        newest = newest.where(tasks.c.tenant == tenant)
    ended = newest.subquery()
    query = select(ended.c.agent, ended.c.state, func.count()).group_by(
        ended.c.agent, ended.c.state
    )
    return counts | {(row[0], row[1]): row[2] for row in connection.execute(query)}


_VIEW_COLUMNS = (
    tasks.c.id,
    tasks.c.tenant,
    tasks.c.agent,
    tasks.c.requested_agent,
    tasks.c.release,
    tasks.c.state,
    tasks.c.customer,
    tasks.c.session_id,
    tasks.c.attempts,
    tasks.c.due_at,
    tasks.c.deadline,
    tasks.c.created_at,
    tasks.c.started_at,
    tasks.c.finished_at,
    tasks.c.outcome,
    tasks.c.last_error,
    tasks.c.envelope["metadata"].label("metadata"),
)


def _view(row: Row[*tuple[Any, ...]]) -> TaskView:
    return TaskView.model_validate(dict(row._mapping))  # noqa: SLF001 the documented way to a dict
