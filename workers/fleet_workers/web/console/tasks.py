"""Tasks in the console: the list, and one task's timeline as the place to look for root causes."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy import Connection

from fleet_contracts.states import TaskState
from fleet_workers.store import dead_letters, reviews, views
from fleet_workers.store.dead_letters import DeadLetterFilter
from fleet_workers.store.journal import CorruptJournal, Step, read_steps
from fleet_workers.web.api.tasks import find_task
from fleet_workers.web.console.rendering import page
from fleet_workers.web.console.sessions import Visitor
from fleet_workers.web.console.task_totals import add_up
from fleet_workers.web.console.timeline import build_timeline, used_offline_model
from fleet_workers.web.resources import Resources

_ROWS = 50
_LETTERS = 5

router = APIRouter(prefix="/console/tasks")


@router.get("")
def show_tasks(
    request: Request,
    resources: Resources,
    holder: Visitor,
    state: Annotated[TaskState | None, Query()] = None,
    find: Annotated[str, Query(max_length=100)] = "",
) -> Response:
    """The newest tasks, optionally in one state; with an id in `find`, that task."""
    sought = _as_id(find)
    if sought is not None:
        address = f"/console/tasks/{sought}"
        return RedirectResponse(address, status_code=HTTPStatus.SEE_OTHER)
    with resources.transaction() as connection:
        found = views.recent(
            connection, tenant=holder.sees, states=[state] if state else [], limit=_ROWS
        )
    return page(
        request,
        "tasks.html",
        holder=holder,
        tasks=found,
        state=state,
        states=list(TaskState),
        limit=_ROWS,
        find=find,
    )


@router.get("/{task_id}")
def show_task(
    request: Request,
    resources: Resources,
    holder: Visitor,
    task_id: UUID,
    problems: Annotated[bool, Query(description="Only what went wrong.")] = False,
) -> Response:
    """One task with its timeline."""
    task = find_task(resources, holder, task_id)
    with resources.transaction() as connection:
        steps, damage = _readable_steps(connection, task_id)
        epochs = views.epochs_of(connection, task_id)
        envelope = views.envelope_of(connection, task_id) or {}
        items = reviews.of_task(connection, task_id)
        letters = dead_letters.find(
            connection, DeadLetterFilter(task_id=task_id), settled=None, limit=_LETTERS
        )
    ended_at = task.finished_at or datetime.now(UTC)
    timeline = build_timeline(steps, begun_at=task.created_at, reviews=items, epochs=epochs)
    return page(
        request,
        "task.html",
        holder=holder,
        task=task,
        envelope=envelope,
        damage=damage,
        timeline=[each for each in timeline if each.is_problem or not problems],
        steps=len(timeline),
        problems=problems,
        number_of_problems=sum(each.is_problem for each in timeline),
        totals=add_up(steps, items, begun_at=task.created_at, ended_at=ended_at),
        reviews=items,
        letters=letters,
        offline=used_offline_model(steps) or (task.outcome is not None and task.outcome.offline),
    )


def _readable_steps(connection: Connection, task_id: UUID) -> tuple[list[Step], str]:
    """The journal, and what is wrong with it where it cannot be read."""
    try:
        return read_steps(connection, task_id), ""
    except CorruptJournal as error:
        return [], str(error)


def _as_id(text: str) -> UUID | None:
    try:
        return UUID(text.strip())
    except ValueError:
        return None
