"""One review: what is proposed, why it stopped, and the forms with which a person decides it."""

from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import Response

from fleet_contracts.errors import (
    AlreadyClaimed,
    AlreadyDecided,
    InvalidInput,
    UnknownAgent,
    UnknownReview,
)
from fleet_workers.agents import AgentCatalogue
from fleet_workers.review.binding import Ruling, proposal_digest, proposal_of
from fleet_workers.review.fitness import AFTERWARDS, acts, may_say, people_needed
from fleet_workers.review.similar import similar_decisions
from fleet_workers.store.accounts import KeyHolder
from fleet_workers.store.review_queue import Place
from fleet_workers.store.reviews import ReviewItem
from fleet_workers.tools import Tool
from fleet_workers.web import reviewing
from fleet_workers.web.access import Right, has_right
from fleet_workers.web.console.edit_fields import EditField, edit_fields
from fleet_workers.web.console.flashes import Flash, see_other
from fleet_workers.web.console.forms import Fields, SessionForm
from fleet_workers.web.console.inbox import CLAIMED, find_next
from fleet_workers.web.console.inbox_filter import (
    INBOX,
    address,
    filter_of,
    filter_values,
    groups_of,
)
from fleet_workers.web.console.packet import shown_packet
from fleet_workers.web.console.rendering import page
from fleet_workers.web.console.sessions import Visitor
from fleet_workers.web.console.visitors import DeskWorker
from fleet_workers.web.resources import Resources, WebResources

_MAX_NAME = 254

router = APIRouter(prefix=INBOX)


@router.get("/{review_id}")
def show_review(
    request: Request, resources: Resources, holder: Visitor, review_id: UUID
) -> Response:
    """One item. Opening it claims nothing."""
    return review_page(request, resources, holder, review_id)


@router.get("/{review_id}/next")
def show_next(request: Request, resources: Resources, holder: Visitor, review_id: UUID) -> Response:
    """The item behind this one, which stays as it is."""
    item = reviewing.find_review(resources, holder, review_id)
    values = filter_values(request.query_params, holder)
    target, flash = next_place(resources, holder, item, values, None)
    return see_other(request, target, flash)


@router.post("/{review_id}/claim")
def claim(
    request: Request, resources: Resources, holder: DeskWorker, form: SessionForm, review_id: UUID
) -> Response:
    """Keep an item for oneself, and open it."""
    target = address(f"{INBOX}/{review_id}", values_of(form, holder))
    try:
        reviewing.claim_review(resources, holder, review_id)
    except (AlreadyClaimed, AlreadyDecided) as error:
        return see_other(request, target, Flash(text=f"Not claimed. {error}", tone="bad"))
    return see_other(request, target, Flash(text=CLAIMED))


@router.post("/{review_id}/release")
def release(
    request: Request, resources: Resources, holder: DeskWorker, form: SessionForm, review_id: UUID
) -> Response:
    """Give an item back."""
    values = values_of(form, holder)
    try:
        reviewing.release_review(resources, holder, review_id)
    except (AlreadyClaimed, AlreadyDecided) as error:
        target = address(f"{INBOX}/{review_id}", values)
        return see_other(request, target, Flash(text=f"Not given back. {error}", tone="bad"))
    flash = Flash(text="Given back: others can take it now.")
    return see_other(request, address(INBOX, values), flash)


@router.post("/{review_id}/hand-over")
def hand_over(
    request: Request, resources: Resources, holder: DeskWorker, form: SessionForm, review_id: UUID
) -> Response:
    """Give an item to another person or group, who read the note."""
    person, group = form.get("person")[:_MAX_NAME], form.get("to_group")[:_MAX_NAME]
    try:
        reviewing.hand_over_review(
            resources,
            holder,
            review_id,
            note=form.get("text"),
            person=person or None,
            group=group or None,
        )
    except UnknownReview:
        raise
    except InvalidInput as error:
        return review_page(request, resources, holder, review_id, form=form, fault=error)
    flash = Flash(text=f"Handed over to {person or group}.")
    return see_other(request, address(INBOX, values_of(form, holder)), flash)


def review_page(
    request: Request,
    resources: WebResources,
    holder: KeyHolder,
    review_id: UUID,
    *,
    form: Fields | None = None,
    fault: InvalidInput | None = None,
) -> Response:
    """The page of one item; with a form that was not accepted, what was typed stays in it.

    Raises:
        UnknownReview: The holder may see no such item.
    """
    item = reviewing.find_review(resources, holder, review_id)
    with resources.transaction() as connection:
        similar = similar_decisions(connection, item)
    values = (
        filter_values(request.query_params, holder) if form is None else values_of(form, holder)
    )
    return page(
        request,
        "review.html",
        status=HTTPStatus.OK if fault is None else _status_of(fault),
        holder=holder,
        review=item,
        packet=shown_packet(item.packet),
        notes=_notes(item.packet),
        said=_said(item),
        similar=similar,
        values=values,
        own_address=f"{INBOX}/{item.id}",
        query=address("", values),
        inbox=address(INBOX, values),
        groups=[each for each in groups_of(resources.catalogue) if each != item.group],
        fault=fault,
        typed={} if form is None else {name: form.get(name) for name in form.values},
        ruling=form.get("ruling") if form is not None else "",
        **_what_can_be_done(resources.catalogue, holder, item),
    )


def _what_can_be_done(
    catalogue: AgentCatalogue, holder: KeyHolder, item: ReviewItem
) -> dict[str, Any]:
    may_decide = has_right(holder, Right.DECIDE) and item.state == "waiting"
    return {
        "rulings": Ruling,
        "may_decide": may_decide,
        "may_say": may_say(item) if may_decide else frozenset(),
        "is_mine": item.claimed_by == holder.label,
        "held_by": item.claimed_by if item.claimed_by != holder.label else None,
        "acts": acts(item),
        "is_afterwards": item.kind in AFTERWARDS,
        "people": people_needed(item),
        "approved_by": _approved_by(item),
        "seen": proposal_digest(item),
        "fields": fields_of(catalogue, item),
        "draft": str(proposal_of(item).get("answer") or ""),
        "agents": [name for name in catalogue.names if name != item.agent],
    }


# Packets and decisions come from restored backups and from other systems' writes, too.


def _notes(packet: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Who has handed the item over, and why."""
    found = packet.get("notes")
    notes = found if isinstance(found, list) else []
    return [(str(each.get("by")), str(each.get("note"))) for each in notes if _is_object(each)]


def _approved_by(item: ReviewItem) -> list[str]:
    found = (item.decision or {}).get("approved_by")
    return [str(each) for each in found] if isinstance(found, list) else []


def _said(item: ReviewItem) -> dict[str, str]:
    """The ruling, or why the item was closed, and the words that came with it."""
    decision = item.decision or {}
    ruling = decision.get("ruling") or decision.get("closed") or ""
    return {"ruling": str(ruling), "text": str(decision.get("text") or "")}


def _is_object(value: Any) -> bool:
    return isinstance(value, Mapping)


def fields_of(catalogue: AgentCatalogue, item: ReviewItem) -> list[EditField]:
    """The fields with which a person changes the proposed action; none where there is none."""
    proposal = proposal_of(item)
    arguments = proposal.get("arguments")
    if not acts(item) or not isinstance(arguments, Mapping):
        return []
    return edit_fields(_tool(catalogue, item.agent, str(proposal["tool"])), arguments)


def values_of(form: Fields, holder: KeyHolder) -> dict[str, str]:
    """The inbox's filter, which every form of a review carries."""
    return filter_values({name: form.get(f"in.{name}") for name in _carried(form)}, holder)


def next_place(
    resources: WebResources,
    holder: KeyHolder,
    item: ReviewItem,
    values: Mapping[str, str],
    flash: Flash | None,
) -> tuple[str, Flash | None]:
    """Where to go on behind an item, and what is said there: the inbox, where nothing is left."""
    place = None
    if item.due_at is not None:
        place = Place(priority=item.priority, due_at=item.due_at, id=item.id)
    following = find_next(resources, holder, filter_of(values, holder), after=place)
    if following is not None:
        return address(f"{INBOX}/{following.id}", values), flash
    said = flash or Flash(text="", tone="wait")
    done = replace(said, text=f"{said.text} Nothing else waits here.".strip())
    return address(INBOX, values), done


def _carried(form: Fields) -> list[str]:
    return [name.removeprefix("in.") for name in form.values if name.startswith("in.")]


def _tool(catalogue: AgentCatalogue, agent: str, name: str) -> Tool | None:
    try:
        return catalogue.get(agent).tools.get(name)
    except UnknownAgent:
        return None


def _status_of(fault: InvalidInput) -> HTTPStatus:
    was_faster = isinstance(fault, AlreadyClaimed | AlreadyDecided)
    return HTTPStatus.CONFLICT if was_faster else HTTPStatus.UNPROCESSABLE_ENTITY
