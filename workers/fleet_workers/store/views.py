"""Tasks as their producers and operators see them. Reads only."""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, func, select

from fleet_contracts.outcome import TaskView
from fleet_contracts.states import TaskState
from fleet_workers.store.tables import tasks


def view(connection: Connection, task_id: UUID, *, tenant: str | None) -> TaskView | None:
    """One task as its producer sees it; None in another tenant. `tenant=None` sees all."""
    query = select(*_VIEW_COLUMNS).where(tasks.c.id == task_id)
    if tenant is not None:
        query = query.where(tasks.c.tenant == tenant)
    row = connection.execute(query).one_or_none()
    return _view(row) if row is not None else None


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


def count_by_state(connection: Connection, *, tenant: str | None) -> dict[tuple[str, str], int]:
    """Number of tasks by agent and state."""
    query = select(tasks.c.agent, tasks.c.state, func.count()).group_by(
        tasks.c.agent, tasks.c.state
    )
    if tenant is not None:
        query = query.where(tasks.c.tenant == tenant)
    return {(row[0], row[1]): row[2] for row in connection.execute(query)}


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
