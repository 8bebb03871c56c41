"""Server-sent events: `/v1/tasks/{id}/events`, and `/v1/events` for all tasks of a tenant."""

from http import HTTPStatus
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response, StreamingResponse

from fleet_contracts.states import TaskState
from fleet_workers.store.accounts import KeyHolder
from fleet_workers.store.task_events import last_place, placed_after
from fleet_workers.web.access import TaskReader
from fleet_workers.web.api.tasks import find_task
from fleet_workers.web.problems import documented
from fleet_workers.web.resources import Resources, WebResources
from fleet_workers.web.streams import LONGEST_SECONDS, Look, News, Piece, StreamRoom
from fleet_workers.web.task_news import PLACE_PATTERN, Place, is_all_told, look_at

router = APIRouter(prefix="/v1", tags=["events"])

_CHANGES_A_LOOK: Final = 200
_DATA: Final = [{"$ref": f"#/components/schemas/{name}"} for name in ("TaskChange", "StepNews")]
_EVENT: Final = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "event": {"enum": ["state", "step"]},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"anyOf": _DATA},
        },
        "retry": {"type": "integer"},
    },
}
_STREAM: Final[dict[int | str, dict[str, Any]]] = {
    int(HTTPStatus.OK): {
        "description": "Events as they come: `state` and `step`, with JSON as data.",
        "content": {"text/event-stream": {"itemSchema": _EVENT}},
    }
}
_ALL_TOLD: Final[dict[int | str, dict[str, Any]]] = {
    int(HTTPStatus.NO_CONTENT): {
        "description": "The task has ended and all was told: do not come back."
    }
}
Seconds = Annotated[
    float, Query(ge=0, le=LONGEST_SECONDS, description="The stream ends after that at the latest.")
]


@router.get(
    "/tasks/{task_id}/events",
    response_class=StreamingResponse,
    responses={**_STREAM, **_ALL_TOLD, **documented(HTTPStatus.NOT_FOUND)},
)
async def follow_task(
    *,
    request: Request,
    resources: Resources,
    holder: TaskReader,
    task_id: UUID,
    seconds: Seconds = LONGEST_SECONDS,
    last_event_id: Annotated[str | None, Header(pattern=PLACE_PATTERN)] = None,
) -> Response:
    """Each change of a task's state and each step, from the first or from behind `Last-Event-ID`.

    The stream ends once the task has ended; who then comes back with the last id gets 204. Data of
    `state` has the form of `TaskChange` without the task itself, of `step` that of `StepNews`.
    """
    room: StreamRoom = request.app.state.stream_room
    room.check()
    view = await run_in_threadpool(find_task, resources, holder, task_id)
    place = Place.read(last_event_id)
    if last_event_id is not None:
        with_all = await run_in_threadpool(
            _in_transaction, resources, lambda connection: is_all_told(connection, view, place)
        )
        if with_all:
            return Response(status_code=HTTPStatus.NO_CONTENT)
    is_first = last_event_id is None

    async def look() -> News:
        nonlocal is_first
        news: News = await run_in_threadpool(
            _in_transaction,
            resources,
            lambda connection: look_at(connection, view, place, is_first=is_first),
        )
        is_first = False
        return news

    return _streamed(room, look, seconds)


@router.get("/events", response_class=StreamingResponse, responses={**_STREAM, **documented()})
async def follow_all(
    *,
    request: Request,
    resources: Resources,
    holder: TaskReader,
    seconds: Seconds = LONGEST_SECONDS,
    state: Annotated[list[TaskState] | None, Query(description="Only these states.")] = None,
    agent: Annotated[str | None, Query(max_length=63, description="Only this agent.")] = None,
    last_event_id: Annotated[str | None, Header(pattern=r"^[0-9]{1,18}$")] = None,
) -> Response:
    """Each change of any task's state in the key's tenant, from now or from `Last-Event-ID`.

    Data has the form of `TaskChange` without the task itself. A janitor puts changes in order
    first, so one comes up to a second after it happened.
    """
    room: StreamRoom = request.app.state.stream_room
    room.check()
    wanted = frozenset(state or TaskState)
    place = (
        await run_in_threadpool(_in_transaction, resources, last_place)
        if last_event_id is None
        else int(last_event_id)
    )

    async def look() -> News:
        nonlocal place
        found = await run_in_threadpool(_placed, resources, holder, place)
        place = found[-1].place if found else place
        return News(
            pieces=[
                Piece(id=str(each.place), name="state", data=each.change)
                for each in found
                if each.change.state in wanted and agent in (None, each.change.agent)
            ]
        )

    return _streamed(room, look, seconds)


def _placed(resources: WebResources, holder: KeyHolder, place: int) -> Any:
    with resources.transaction() as connection:
        return placed_after(connection, place, tenant=holder.sees, limit=_CHANGES_A_LOOK)


def _in_transaction(resources: WebResources, work: Any) -> Any:
    with resources.transaction() as connection:
        return work(connection)


def _streamed(room: StreamRoom, look: Look, seconds: float) -> StreamingResponse:
    return StreamingResponse(
        room.stream(look, seconds=seconds),
        media_type="text/event-stream",
        headers={"X-Accel-Buffering": "no"},  # nginx would hold events back
    )
