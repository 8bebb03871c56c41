"""Reads and cancels tasks: `/v1/tasks`, `/v1/tasks/{id}` and what hangs below it."""

from datetime import datetime
from decimal import Decimal
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict

from fleet_contracts.errors import UnknownTask
from fleet_contracts.outcome import TaskView
from fleet_contracts.states import TaskState
from fleet_workers.store import audit, reviews, tasks, views
from fleet_workers.store.accounts import KeyHolder
from fleet_workers.store.audit import AuditKind, Entry
from fleet_workers.store.journal import Step, StepKind, StepState, read_steps
from fleet_workers.web.access import Submitter, TaskReader
from fleet_workers.web.errors import NotOpen
from fleet_workers.web.problems import documented
from fleet_workers.web.resources import Resources, WebResources
from fleet_workers.web.waiting import MAX_WAIT_SECONDS, WaitingRoom

router = APIRouter(prefix="/v1/tasks", tags=["tasks"])
_NOT_FOUND = documented(HTTPStatus.NOT_FOUND)

Limit = Annotated[int, Query(ge=1, le=200, description="Rows at most.")]


class TaskList(BaseModel):
    """Tasks, newest first."""

    model_config = ConfigDict(frozen=True)

    tasks: list[TaskView]


class StepView(BaseModel):
    """One step of a task. `cost_usd` is null where the price is not known."""

    model_config = ConfigDict(frozen=True)

    seq: int
    kind: StepKind
    name: str
    state: StepState
    request: dict[str, Any]
    result: dict[str, Any] | None
    model: str | None
    tokens: int | None
    cost_usd: Decimal | None
    started_at: datetime | None
    finished_at: datetime | None


class JournalView(BaseModel):
    """Every step of a task in order."""

    model_config = ConfigDict(frozen=True)

    task_id: UUID
    steps: list[StepView]


@router.get("", responses=documented())
def list_tasks(
    resources: Resources,
    holder: TaskReader,
    state: Annotated[list[TaskState] | None, Query(description="Only these states.")] = None,
    limit: Limit = 50,
) -> TaskList:
    """The newest tasks of the key's tenant."""
    with resources.transaction() as connection:
        found = views.recent(connection, tenant=holder.sees, states=state or (), limit=limit)
    return TaskList(tasks=found)


@router.get("/{task_id}", responses=_NOT_FOUND)
async def read_task(
    request: Request,
    resources: Resources,
    holder: TaskReader,
    task_id: UUID,
    wait_seconds: Annotated[
        float, Query(ge=0, le=MAX_WAIT_SECONDS, description="Wait until the task settles.")
    ] = 0,
) -> TaskView:
    """One task. Settled means final, dead, or waiting for a person."""

    async def look() -> TaskView:
        return await run_in_threadpool(find_task, resources, holder, task_id)

    room: WaitingRoom = request.app.state.waiting_room
    return await room.until_settled(look, wait_seconds=wait_seconds, gone=request.is_disconnected)


@router.get("/{task_id}/journal", responses=_NOT_FOUND)
def read_journal(resources: Resources, holder: TaskReader, task_id: UUID) -> JournalView:
    """What a task did, step by step."""
    find_task(resources, holder, task_id)
    with resources.transaction() as connection:
        steps = read_steps(connection, task_id)
    return JournalView(task_id=task_id, steps=[_step_view(step) for step in steps])


@router.post("/{task_id}/cancel", responses=documented(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT))
def cancel_task(resources: Resources, holder: Submitter, task_id: UUID) -> TaskView:
    """Cancel a task that has not ended; a running one stops before its next write."""
    before = find_task(resources, holder, task_id)
    with resources.transaction() as connection:
        if tasks.cancel(connection, task_id, tenant=before.tenant):
            audit.add(connection, _cancelled(before, by=holder.label))
            reviews.close(connection, [task_id], why="cancelled")
    after = find_task(resources, holder, task_id)
    if after.state is not TaskState.CANCELLED:
        raise NotOpen(
            f"The task is {after.state}: only a task that has not ended can be cancelled."
        )
    return after


def _cancelled(task: TaskView, *, by: str) -> Entry:
    return Entry(
        kind=AuditKind.DECISION,
        who=by,
        what="task cancelled",
        tenant=task.tenant,
        task_id=task.id,
        detail={"state": task.state},
    )


def find_task(resources: WebResources, holder: KeyHolder, task_id: UUID) -> TaskView:
    """One task that the holder may see.

    Raises:
        UnknownTask: It does not exist, or belongs to another tenant.
        Unavailable: The store is away.
    """
    with resources.transaction() as connection:
        view = views.view(connection, task_id, tenant=holder.sees)
    if view is None:
        raise UnknownTask(f"No task {task_id} is known to this key.")
    return view


def _step_view(step: Step) -> StepView:
    usage = step.usage
    return StepView(
        seq=step.seq,
        kind=step.kind,
        name=step.name,
        state=step.state,
        request=dict(step.request),
        result=dict(step.result) if step.result is not None else None,
        model=usage.model if usage else None,
        tokens=usage.tokens if usage else None,
        cost_usd=usage.cost_usd if usage else None,
        started_at=step.started_at,
        finished_at=step.finished_at,
    )
