"""`POST /v1/tasks` and `POST /v1/tasks/bulk`."""

from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from starlette.background import BackgroundTask

from fleet_contracts.codec import valid_traceparent
from fleet_contracts.errors import InvalidInput
from fleet_contracts.states import TaskState
from fleet_workers.store import views
from fleet_workers.web.access import Submitter
from fleet_workers.web.bodies import (
    MAX_BULK_BODY_BYTES,
    MAX_TASK_BODY_BYTES,
    parse_object,
    read_body,
)
from fleet_workers.web.openapi import TASK_SCHEMA
from fleet_workers.web.problems import documented
from fleet_workers.web.resources import Resources, WebResources
from fleet_workers.web.submission import BulkResult, Submission

MAX_BULK_TASKS = 1000

router = APIRouter(prefix="/v1/tasks", tags=["tasks"])


class Receipt(BaseModel):
    """The fleet has the task and will not lose it. `state` is where it stands now."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    state: TaskState
    status_url: str


class BulkReceipt(BaseModel):
    """One result for each task, in the order sent."""

    model_config = ConfigDict(frozen=True)

    results: list[BulkResult]


# Each takes the key before the body is read, so that strangers cannot fill the memory.
async def _task_body(_: Submitter, request: Request) -> bytes:
    return await read_body(request, limit_bytes=MAX_TASK_BODY_BYTES)


async def _bulk_body(_: Submitter, request: Request) -> bytes:
    return await read_body(request, limit_bytes=MAX_BULK_BODY_BYTES)


IdempotencyKey = Annotated[str | None, Header(description="Makes a repeat harmless.")]
Traceparent = Annotated[str | None, Header(description="W3C trace context of the caller.")]


def _json_body(schema: dict[str, Any]) -> dict[str, Any]:
    content = {"application/json": {"schema": schema}}
    return {"requestBody": {"required": True, "content": content}}


@router.post(
    "",
    status_code=HTTPStatus.ACCEPTED,
    response_model=Receipt,
    responses=documented(
        HTTPStatus.BAD_REQUEST, HTTPStatus.CONFLICT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    ),
    openapi_extra=_json_body(TASK_SCHEMA),
)
def submit_task(
    resources: Resources,
    holder: Submitter,
    body: Annotated[bytes, Depends(_task_body)],
    idempotency_key: IdempotencyKey = None,
    traceparent: Traceparent = None,
) -> JSONResponse:
    """Hand in one task. The same idempotency key with the same content gives the same task."""
    submission = Submission(
        resources=resources, holder=holder, traceparent=valid_traceparent(traceparent)
    )
    taken = submission.take_one(parse_object(body), header_key=idempotency_key)
    state = TaskState.QUEUED if taken.letter else _state_now(resources, taken.task_id)
    status_url = f"/v1/tasks/{taken.task_id}"
    receipt = Receipt(id=taken.task_id, state=state, status_url=status_url)
    return JSONResponse(
        receipt.model_dump(mode="json"),
        status_code=HTTPStatus.ACCEPTED,
        headers={"Location": status_url},
        background=BackgroundTask(resources.publish, [taken.letter]) if taken.letter else None,
    )


@router.post(
    "/bulk",
    response_model=BulkReceipt,
    responses=documented(HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    openapi_extra=_json_body(
        {
            "type": "object",
            "required": ["tasks"],
            "properties": {
                "tasks": {"type": "array", "maxItems": MAX_BULK_TASKS, "items": TASK_SCHEMA}
            },
        }
    ),
)
def submit_tasks(
    resources: Resources,
    holder: Submitter,
    body: Annotated[bytes, Depends(_bulk_body)],
    traceparent: Traceparent = None,
) -> JSONResponse:
    """Hand in up to 1000 tasks. Each is taken or refused by itself; keys make repeats harmless."""
    items = parse_object(body).get("tasks")
    if not isinstance(items, list) or len(items) > MAX_BULK_TASKS:
        raise InvalidInput(f"Send an object with `tasks`: a list of up to {MAX_BULK_TASKS} tasks.")
    submission = Submission(
        resources=resources, holder=holder, traceparent=valid_traceparent(traceparent)
    )
    results, letters = submission.take_many(items)
    return JSONResponse(
        BulkReceipt(results=results).model_dump(mode="json"),
        background=BackgroundTask(resources.publish, letters) if letters else None,
    )


def _state_now(resources: WebResources, task_id: UUID) -> TaskState:
    with resources.transaction() as connection:
        view = views.view(connection, task_id, tenant=None)
    return view.state if view else TaskState.QUEUED
