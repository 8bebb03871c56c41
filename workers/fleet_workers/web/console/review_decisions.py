"""The form that decides a review: what it says is carried out, and the next item comes up."""

from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import Response

from fleet_contracts.errors import InvalidInput, UnknownReview
from fleet_contracts.states import TaskState
from fleet_workers.review.binding import END, GO_ON, Ruling
from fleet_workers.review.fitness import AFTERWARDS, acts, people_needed
from fleet_workers.store import views
from fleet_workers.store.accounts import KeyHolder
from fleet_workers.store.reviews import ReviewItem
from fleet_workers.web import reviewing
from fleet_workers.web.console.edit_fields import arguments_from
from fleet_workers.web.console.flashes import Flash, see_other
from fleet_workers.web.console.forms import Fields, SessionForm
from fleet_workers.web.console.inbox_filter import INBOX
from fleet_workers.web.console.review import fields_of, next_place, review_page, values_of
from fleet_workers.web.console.visitors import DeskWorker
from fleet_workers.web.resources import Resources, WebResources

_MAX_TEXT = 20_000
_DONE = {
    Ruling.APPROVE: "Approved",
    Ruling.EDIT: "Edited and approved",
    Ruling.REJECT: "Rejected",
    Ruling.ANSWER: "Answered",
    Ruling.ASK: "The customer is asked",
    Ruling.REASSIGN: "Given to another agent",
}

router = APIRouter(prefix=INBOX)


@router.post("/{review_id}/decide")
def decide_review(
    request: Request, resources: Resources, holder: DeskWorker, form: SessionForm, review_id: UUID
) -> Response:
    """Carry a decision out. Where it is not accepted, the form comes back as it was filled in."""
    values = values_of(form, holder)
    item = reviewing.find_review(resources, holder, review_id)
    try:
        after = _carry_out(resources, holder, item, form)
    except UnknownReview:
        raise
    except InvalidInput as error:
        return review_page(request, resources, holder, review_id, form=form, fault=error)
    flash = Flash(
        text=_what_happened(resources, holder, after, _ruling(form)),
        link=f"/console/tasks/{item.task_id}",
        link_text="See the task",
    )
    target, said = next_place(resources, holder, item, values, flash)
    return see_other(request, target, said)


def _carry_out(
    resources: WebResources, holder: KeyHolder, item: ReviewItem, form: Fields
) -> ReviewItem:
    ruling, arguments = _ruling(form), None
    if ruling is Ruling.EDIT and acts(item):
        arguments = arguments_from(fields_of(resources.catalogue, item), form)
    binds = ruling in {Ruling.APPROVE, Ruling.EDIT}
    return reviewing.decide_review(
        resources,
        holder,
        item.id,
        ruling,
        text=_text(form),
        arguments=arguments,
        agent=form.get("agent") if ruling is Ruling.REASSIGN else None,
        end=_end(form),
        seen=form.get("seen") if binds else None,
    )


def _ruling(form: Fields) -> Ruling:
    try:
        return Ruling(form.get("ruling"))
    except ValueError as error:
        raise InvalidInput("The form names no decision: reload the page.") from error


def _text(form: Fields) -> str:
    text = form.get("text").replace("\r\n", "\n")
    if len(text) > _MAX_TEXT:
        raise InvalidInput(f"The text has {len(text):,} characters: {_MAX_TEXT:,} are the most.")
    return text


def _end(form: Fields) -> bool | None:
    """Whether a rejection ends the task; None where the form leaves it open."""
    return {END: True, GO_ON: False}.get(form.get("then"))


def _what_happened(
    resources: WebResources, holder: KeyHolder, item: ReviewItem, ruling: Ruling
) -> str:
    if item.state == "waiting":
        given = len((item.decision or {}).get("approved_by", ()))
        return (
            f"Your approval is kept: {given} of {people_needed(item)}. It waits for another person."
        )
    if item.kind in AFTERWARDS:
        return "Your verdict is kept."
    with resources.transaction() as connection:
        task = views.view(connection, item.task_id, tenant=holder.sees)
    follows = {
        TaskState.SUCCEEDED: "the task has ended.",
        TaskState.REJECTED: "the task has ended.",
    }
    state = task.state if task is not None else TaskState.QUEUED
    return f"{_DONE[ruling]}: {follows.get(state, 'the agent goes on.')}"
