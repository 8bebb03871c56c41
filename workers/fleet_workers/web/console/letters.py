"""Dead letters in the console: by cause, one by one, and the forms that settle one."""

from typing import Annotated
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from fleet_contracts.envelope import AUTO_AGENT
from fleet_contracts.errors import InvalidInput
from fleet_workers.deadletters.bulk import FASTEST_PER_SECOND, USUAL_PER_SECOND
from fleet_workers.deadletters.dry_run import MAX_DRY_RUNS
from fleet_workers.deadletters.replay import discard_letter, find_letter, replay_letters
from fleet_workers.store import dead_letters, replays
from fleet_workers.store.outbox import Letter
from fleet_workers.web.console.flashes import Flash, see_other
from fleet_workers.web.console.forms import SessionForm
from fleet_workers.web.console.letter_filter import filter_from, filter_values
from fleet_workers.web.console.rendering import page
from fleet_workers.web.console.sessions import Visitor
from fleet_workers.web.console.visitors import FleetOperator
from fleet_workers.web.resources import Resources

_ROWS = 50
_CAUSES = 20
_JOBS = 5
_MAX_REASON = 500
LETTERS = "/console/dead-letters"

router = APIRouter(prefix=LETTERS)


@router.get("")
def show_letters(
    request: Request,
    resources: Resources,
    holder: Visitor,
    before: Annotated[UUID | None, Query()] = None,
) -> Response:
    """What the fleet gave up: causes with their counts, and the letters, newest first."""
    wanted = filter_from(request.query_params, holder)
    with resources.transaction() as connection:
        causes = dead_letters.group(connection, wanted, limit=_CAUSES)
        found = dead_letters.find(connection, wanted, before=before, limit=_ROWS + 1)
        number = dead_letters.count(connection, wanted)
        jobs = replays.newest(connection, tenant=holder.sees, limit=_JOBS)
    values = filter_values(wanted, holder)
    shown, more = found[:_ROWS], len(found) > _ROWS
    return page(
        request,
        "dead_letters.html",
        holder=holder,
        causes=causes,
        letters=shown,
        number=number,
        jobs=jobs,
        values=values,
        agents=[*resources.catalogue.names, AUTO_AGENT],
        address=lambda **change: _address({**values, **change}),
        next_page=_address({**values, "before": str(shown[-1].id)}) if more else None,
        usual_rate=USUAL_PER_SECOND,
        fastest_rate=FASTEST_PER_SECOND,
        most_dry_runs=MAX_DRY_RUNS,
    )


@router.get("/{letter_id}")
def show_letter(
    request: Request, resources: Resources, holder: Visitor, letter_id: UUID
) -> Response:
    """One letter with its message and its attempts."""
    with resources.transaction() as connection:
        letter = find_letter(connection, letter_id, tenant=holder.sees)
    return page(request, "dead_letter.html", holder=holder, letter=letter)


@router.post("/{letter_id}/replay")
def replay(
    request: Request, resources: Resources, holder: FleetOperator, _: SessionForm, letter_id: UUID
) -> Response:
    """Queue the letter's task again, now."""
    wake_ups: list[Letter] = []
    (done,) = replay_letters(
        resources.store,
        wake_ups.extend,
        [letter_id],
        catalogue=resources.catalogue,
        by=holder.label,
        tenant=holder.sees,
    )
    resources.publish(wake_ups)
    if done.error is not None:
        flash = Flash(text=f"Not replayed. {done.error.detail}", tone="bad")
        return see_other(request, f"{LETTERS}/{letter_id}", flash)
    flash = Flash(
        text="Replayed: the task is queued again and goes on from its journal.",
        link=f"/console/tasks/{done.task_id}",
        link_text="See the task",
    )
    return see_other(request, f"{LETTERS}/{letter_id}", flash)


@router.post("/{letter_id}/discard")
def discard(
    request: Request,
    resources: Resources,
    holder: FleetOperator,
    form: SessionForm,
    letter_id: UUID,
) -> Response:
    """Settle the letter for good."""
    reason = form.get("reason")[:_MAX_REASON]
    address = f"{LETTERS}/{letter_id}"
    try:
        if not reason:
            raise InvalidInput("Say why the letter is of no more use.")  # noqa: TRY301 one answer
        with resources.transaction() as connection:
            discard_letter(
                connection, letter_id, by=holder.label, reason=reason, tenant=holder.sees
            )
    except InvalidInput as error:
        return see_other(request, address, Flash(text=f"Not discarded. {error}", tone="bad"))
    return see_other(request, address, Flash(text="Discarded. Its task stays dead."))


def _address(values: dict[str, str]) -> str:
    said = {name: value for name, value in values.items() if value}
    return f"{LETTERS}?{urlencode(said)}" if said else LETTERS
