"""Replays of many dead letters from the console: dry runs, jobs at a rate, and how far they are."""

import math
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import Response

from fleet_contracts.errors import InvalidInput
from fleet_workers.deadletters.bulk import FASTEST_PER_SECOND
from fleet_workers.store import replays
from fleet_workers.web.api.replays import ReplayRequest, read_replay, rehearse
from fleet_workers.web.console.flashes import Flash, see_other
from fleet_workers.web.console.forms import Fields, SessionForm
from fleet_workers.web.console.letter_filter import filter_from, filter_values
from fleet_workers.web.console.letters import LETTERS
from fleet_workers.web.console.rendering import page
from fleet_workers.web.console.sessions import Visitor
from fleet_workers.web.console.visitors import FleetOperator
from fleet_workers.web.resources import Resources

_SLOWEST_PER_SECOND = 0.001
_STALLED_SECONDS = 10.0  # a janitor looks four times a second

router = APIRouter(prefix="/console")


@router.post("/dead-letters/replay")
def replay_many(
    request: Request, resources: Resources, holder: FleetOperator, form: SessionForm
) -> Response:
    """Open a job that replays all that a filter fits, at a rate."""
    wanted = filter_from(_first_values(form), holder)
    try:
        per_second = _rate(form.get("rate"))
    except InvalidInput as error:
        return see_other(request, LETTERS, Flash(text=str(error), tone="bad"))
    with resources.transaction() as connection:
        job = replays.request(connection, wanted, per_second=per_second, by=holder.label)
    flash = Flash(text=f"{job.matched} letters are replayed, {job.per_second:g} a second at most.")
    return see_other(request, f"/console/replays/{job.id}", flash)


@router.post("/dead-letters/dry-run")
def rehearse_many(
    request: Request, resources: Resources, holder: FleetOperator, form: SessionForm
) -> Response:
    """Show what a replay of the newest letters that a filter fits would come to."""
    wanted = filter_from(_first_values(form), holder)
    asked = ReplayRequest(filter=wanted, dry_run=True, from_start=bool(form.get("from_start")))
    return page(
        request,
        "dry_run.html",
        holder=holder,
        runs=rehearse(resources, holder, asked),
        from_start=asked.from_start,
        values=filter_values(wanted, holder),
        letter_id=None,
    )


@router.post("/dead-letters/{letter_id}/dry-run")
def rehearse_one(
    request: Request,
    resources: Resources,
    holder: FleetOperator,
    form: SessionForm,
    letter_id: UUID,
) -> Response:
    """Show what a replay of one letter would come to."""
    asked = ReplayRequest(ids=[letter_id], dry_run=True, from_start=bool(form.get("from_start")))
    return page(
        request,
        "dry_run.html",
        holder=holder,
        runs=rehearse(resources, holder, asked),
        from_start=asked.from_start,
        values={},
        letter_id=letter_id,
    )


@router.get("/replays/{job_id}")
def show_replay(request: Request, resources: Resources, holder: Visitor, job_id: UUID) -> Response:
    """How far a bulk replay is."""
    job = read_replay(resources, holder, job_id)
    with resources.transaction() as connection:
        overdue_seconds = replays.overdue_seconds(connection, job_id)
    return page(
        request,
        "replay.html",
        holder=holder,
        job=job,
        is_stalled=overdue_seconds > _STALLED_SECONDS,
        wanted=job.filter.model_dump(mode="json", exclude_none=True),
    )


def _rate(text: str) -> float:
    try:
        per_second = float(text)
    except ValueError:
        per_second = math.nan
    if not _SLOWEST_PER_SECOND <= per_second <= FASTEST_PER_SECOND:
        raise InvalidInput(
            f"Nothing was replayed: the rate must be a number from {_SLOWEST_PER_SECOND} to "
            f"{FASTEST_PER_SECOND:g} letters a second."
        )
    return per_second


def _first_values(form: Fields) -> dict[str, str]:
    return {name: form.get(name) for name in form.values}
