"""Tasks that come by the clock: `/v1/schedules`, `/v1/schedules/{id}` and what hangs below it.

For operators and admins; who may read the console may list them.
"""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.background import BackgroundTask

from fleet_contracts.envelope import AUTO_AGENT
from fleet_workers.store import cron, schedule_runs, schedules
from fleet_workers.store.accounts import KeyHolder, require_tenant
from fleet_workers.store.schedule_models import Change, Missed, NewSchedule, Schedule
from fleet_workers.web.access import DeskReader, Operator, tenant_for
from fleet_workers.web.letters import OperatorBody, body_schema, parse_body
from fleet_workers.web.problems import documented
from fleet_workers.web.resources import Resources, WebResources

router = APIRouter(prefix="/v1/schedules", tags=["schedules"])
_NOT_FOUND = documented(HTTPStatus.NOT_FOUND)
_WRITES = documented(
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.CONFLICT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
)


class ScheduleRequest(BaseModel):
    """A schedule to make.

    `cron` has five fields, by the clocks of `zone`. `task` holds the fields of `POST /v1/tasks` but
    those that differ from time to time. A key of all tenants names the tenant.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    cron: str = Field(examples=["30 8 * * MON-FRI"])
    task: dict[str, Any]
    zone: str = Field(default="UTC", examples=["Europe/Berlin"])
    missed: Missed = Missed.ONCE
    enabled: bool = True
    tenant: str | None = None


class ScheduleChange(BaseModel):
    """What changes; fields that are left out stay."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cron: str | None = None
    task: dict[str, Any] | None = None
    zone: str | None = None
    missed: Missed | None = None
    enabled: bool | None = None


class ScheduleList(BaseModel):
    """Schedules by tenant and name."""

    model_config = ConfigDict(frozen=True)

    schedules: list[Schedule]


class Times(BaseModel):
    """When a schedule comes next, in UTC; it need not be enabled."""

    model_config = ConfigDict(frozen=True)

    times: list[datetime]


class RunReceipt(BaseModel):
    """The task that was made."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    status_url: str


@router.get("", responses=documented())
def list_schedules(
    resources: Resources,
    holder: DeskReader,
    limit: Annotated[int, Query(ge=1, le=1000, description="Rows at most.")] = 200,
) -> ScheduleList:
    """The schedules of the key's tenant."""
    with resources.transaction() as connection:
        found = schedules.listed(connection, tenant=holder.sees, limit=limit)
    return ScheduleList(schedules=found)


@router.post(
    "",
    response_model=Schedule,
    status_code=HTTPStatus.CREATED,
    responses=_WRITES,
    openapi_extra=body_schema(ScheduleRequest),
)
def add_schedule(resources: Resources, holder: Operator, body: OperatorBody) -> JSONResponse:
    """Let a task come by the clock."""
    asked = parse_body(ScheduleRequest, body, exact=True)
    new = NewSchedule(
        tenant=str(tenant_for(holder, asked.tenant)),
        name=asked.name,
        cron=asked.cron,
        zone=asked.zone,
        missed=asked.missed,
        task=asked.task,
        enabled=asked.enabled,
    )
    _check_agent(resources, asked.task)
    with resources.transaction() as connection:
        require_tenant(connection, new.tenant, remedy="ask an operator to add it")
        added = schedules.add(connection, new, by=holder.label)
    headers = {"Location": f"/v1/schedules/{added.id}"}
    return JSONResponse(added.model_dump(mode="json"), HTTPStatus.CREATED, headers=headers)


@router.get("/{schedule_id}", responses=_NOT_FOUND)
def read_schedule(resources: Resources, holder: DeskReader, schedule_id: UUID) -> Schedule:
    """One schedule, with what came of its last time."""
    return _find(resources, holder, schedule_id)


@router.patch("/{schedule_id}", responses=_WRITES, openapi_extra=body_schema(ScheduleChange))
def change_schedule(
    resources: Resources, holder: Operator, schedule_id: UUID, body: OperatorBody
) -> Schedule:
    """Change a schedule, enable it or disable it. Times while it was disabled are not made up."""
    asked = parse_body(ScheduleChange, body, exact=True)
    if asked.task is not None:
        _check_agent(resources, asked.task)
    wanted = Change(
        cron=asked.cron,
        zone=asked.zone,
        task=asked.task,
        missed=asked.missed,
        enabled=asked.enabled,
    )
    with resources.transaction() as connection:
        found = schedules.find(connection, schedule_id, tenant=holder.sees)
        return schedules.change(connection, found, wanted, by=holder.label)


@router.delete("/{schedule_id}", status_code=HTTPStatus.NO_CONTENT, responses=_NOT_FOUND)
def remove_schedule(resources: Resources, holder: Operator, schedule_id: UUID) -> Response:
    """Remove a schedule; tasks that it has made stay."""
    with resources.transaction() as connection:
        found = schedules.find(connection, schedule_id, tenant=holder.sees)
        schedules.remove(connection, found, by=holder.label)
    return Response(status_code=HTTPStatus.NO_CONTENT)


@router.get("/{schedule_id}/next", responses=_NOT_FOUND)
def read_times(
    resources: Resources,
    holder: DeskReader,
    schedule_id: UUID,
    count: Annotated[int, Query(ge=1, le=100, description="Times at most.")] = 5,
) -> Times:
    """When a schedule comes next."""
    found = _find(resources, holder, schedule_id)
    return Times(times=cron.coming(found.cron, found.zone, datetime.now(UTC), number=count))


@router.post(
    "/{schedule_id}/run",
    response_model=RunReceipt,
    status_code=HTTPStatus.ACCEPTED,
    responses=_NOT_FOUND,
)
def run_schedule(resources: Resources, holder: Operator, schedule_id: UUID) -> JSONResponse:
    """Make the task of a schedule now, beside its times."""
    with resources.transaction() as connection:
        found = schedules.find(connection, schedule_id, tenant=holder.sees)
        _check_agent(resources, found.task)
        fired = schedule_runs.run_now(connection, found, by=holder.label)
    status_url = f"/v1/tasks/{fired.task_id}"
    return JSONResponse(
        RunReceipt(id=fired.task_id, status_url=status_url).model_dump(mode="json"),
        status_code=HTTPStatus.ACCEPTED,
        headers={"Location": status_url},
        background=BackgroundTask(resources.publish, fired.letters) if fired.letters else None,
    )


def _find(resources: WebResources, holder: KeyHolder, schedule_id: UUID) -> Schedule:
    with resources.transaction() as connection:
        return schedules.find(connection, schedule_id, tenant=holder.sees)


def _check_agent(resources: WebResources, task: dict[str, Any]) -> None:
    name = task.get("agent", AUTO_AGENT)
    if isinstance(name, str) and name != AUTO_AGENT:
        resources.catalogue.get(name)
