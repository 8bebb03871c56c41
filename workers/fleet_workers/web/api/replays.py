"""Replays dead letters: some at once, many as a job at a rate, or none, as a dry run."""

from http import HTTPStatus
from typing import Annotated, Self
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.background import BackgroundTask

from fleet_contracts.errors import ConfigurationError, InvalidInput
from fleet_workers.deadletters.bulk import FASTEST_PER_SECOND, USUAL_PER_SECOND
from fleet_workers.deadletters.dry_run import MAX_DRY_RUNS, DryRunner, DryRuns, Mode
from fleet_workers.deadletters.replay import ReplayResult, replay_letters
from fleet_workers.store import dead_letters, replays
from fleet_workers.store.accounts import KeyHolder
from fleet_workers.store.dead_letters import DeadLetterFilter
from fleet_workers.store.outbox import Letter
from fleet_workers.store.replays import ReplayJob
from fleet_workers.web.access import DeskReader, Operator
from fleet_workers.web.errors import DryRunNotSetUp, UnknownReplay
from fleet_workers.web.letters import OperatorBody, body_schema, filter_of, parse_body
from fleet_workers.web.problems import documented
from fleet_workers.web.resources import Resources, WebResources

MAX_IDS = 200

router = APIRouter()


class ReplayRequest(BaseModel):
    """Either `ids`, replayed at once, or a `filter`, replayed as a job at a rate.

    With `dry_run` nothing is replayed: up to 20 letters are run against their record, from there
    on or, with `from_start`, with the model asked anew for everything.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    ids: Annotated[list[UUID], Field(min_length=1, max_length=MAX_IDS)] | None = None
    filter: DeadLetterFilter | None = None
    rate_per_second: Annotated[float, Field(ge=0.001, le=FASTEST_PER_SECOND)] = USUAL_PER_SECOND
    dry_run: bool = False
    from_start: bool = False

    @model_validator(mode="after")
    def _one_way_to_choose(self) -> Self:
        if (self.ids is None) == (self.filter is None):
            raise ValueError("send either ids or a filter; an empty filter means all")
        return self


class ReplayResults(BaseModel):
    """What became of each letter, in the order of the ids."""

    model_config = ConfigDict(frozen=True)

    results: list[ReplayResult]


@router.post(
    "/replay",
    response_model=ReplayResults | DryRuns,
    responses={
        HTTPStatus.ACCEPTED: {"model": ReplayJob, "description": "A job for what the filter fits"},
        **documented(
            HTTPStatus.BAD_REQUEST,
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            HTTPStatus.NOT_IMPLEMENTED,
        ),
    },
    openapi_extra=body_schema(ReplayRequest),
)
def replay_dead_letters(resources: Resources, holder: Operator, body: OperatorBody) -> JSONResponse:
    """Queue dead tasks again, with their journals. The same request twice does it once."""
    asked = parse_body(ReplayRequest, body)
    if asked.dry_run:
        return JSONResponse(rehearse(resources, holder, asked).model_dump(mode="json"))
    if asked.ids is not None:
        return _replay_now(resources, holder, asked.ids)
    wanted = filter_of(holder, asked.filter or DeadLetterFilter())
    with resources.transaction() as connection:
        job = replays.request(connection, wanted, per_second=asked.rate_per_second, by=holder.label)
    return JSONResponse(
        job.model_dump(mode="json"),
        status_code=HTTPStatus.ACCEPTED,
        headers={"Location": f"/v1/dead-letters/replays/{job.id}"},
    )


@router.get("/replays/{job_id}", responses=documented(HTTPStatus.NOT_FOUND))
def read_replay(resources: Resources, holder: DeskReader, job_id: UUID) -> ReplayJob:
    """How far a bulk replay is."""
    with resources.transaction() as connection:
        job = replays.get(connection, job_id, tenant=holder.sees)
    if job is None:
        raise UnknownReplay(f"No replay {job_id} is known to this key.")
    return job


def _replay_now(resources: WebResources, holder: KeyHolder, ids: list[UUID]) -> JSONResponse:
    wake_ups: list[Letter] = []
    results = replay_letters(
        resources.store,
        wake_ups.extend,
        dict.fromkeys(ids),
        catalogue=resources.catalogue,
        by=holder.label,
        tenant=holder.sees,
    )
    return JSONResponse(
        ReplayResults(results=results).model_dump(mode="json"),
        background=BackgroundTask(resources.publish, wake_ups) if wake_ups else None,
    )


def rehearse(resources: WebResources, holder: KeyHolder, asked: ReplayRequest) -> DryRuns:
    """Tell what a replay would come to; nothing is changed.

    Raises:
        InvalidInput: There are too many ids.
        DryRunNotSetUp: This process has no model to ask.
    """
    ids = list(dict.fromkeys(asked.ids or ()))
    if len(ids) > MAX_DRY_RUNS:
        raise InvalidInput(f"Send {MAX_DRY_RUNS} ids at most for a dry run: each asks the model.")
    if asked.filter is not None:
        with resources.transaction() as connection:
            found = dead_letters.find(
                connection, filter_of(holder, asked.filter), limit=MAX_DRY_RUNS
            )
        ids = [letter.id for letter in found]
    if resources.open_ports is None:
        raise DryRunNotSetUp("This web process was started without a model and tools.")
    try:
        with resources.open_ports() as ports:
            runner = DryRunner(engine=resources.store, installed=resources.catalogue, ports=ports)
            mode: Mode = "from_start" if asked.from_start else "resume"
            return runner.run_all(ids, mode=mode, tenant=holder.sees)
    except ConfigurationError as error:
        raise DryRunNotSetUp(str(error)) from error
