"""What waits for a person: `GET /v1/reviews`, `…/{id}`, and what people do to it."""

import base64
import binascii
import json
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from fleet_contracts.errors import InvalidInput
from fleet_contracts.outcome import ReviewKind
from fleet_contracts.reviews import ReviewPriority
from fleet_workers.review.assignment import CLAIM_LASTS, LONGEST_CLAIM
from fleet_workers.review.binding import Ruling
from fleet_workers.store.review_queue import Place, QueueFilter, QueueRow
from fleet_workers.store.reviews import ReviewItem
from fleet_workers.web.access import DeskReader, Reviewer
from fleet_workers.web.json_route import JsonRoute
from fleet_workers.web.problems import documented
from fleet_workers.web.resources import Resources
from fleet_workers.web.reviewing import (
    claim_review,
    decide_review,
    find_review,
    hand_over_review,
    list_queue,
    release_review,
)

router = APIRouter(prefix="/v1/reviews", tags=["reviews"], route_class=JsonRoute)
_DECIDABLE = documented(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)
_READS_BODY = documented(
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.CONFLICT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
)
_MINUTES = int(CLAIM_LASTS.total_seconds() // 60)
_MOST_MINUTES = int(LONGEST_CLAIM.total_seconds() // 60)
Words = Annotated[str, StringConstraints(min_length=1, max_length=20_000, strip_whitespace=True)]
Named = Annotated[str, StringConstraints(min_length=1, max_length=254, strip_whitespace=True)]
PriorityName = Literal["urgent", "high", "normal", "low"]


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ClaimTime(_Body):
    """How long the item is kept for whoever claims it."""

    minutes: Annotated[int, Field(ge=1, le=_MOST_MINUTES)] = _MINUTES


class Edit(_Body):
    """What is done or said in place of what the agent proposed: one of the two."""

    arguments: dict[str, Any] | None = None
    answer: Words | None = None


class Rejection(_Body):
    """Why; the agent, or the producer of the task, reads it.

    `end` tells whether the task ends. Without it the agent goes on where it has proposed
    something, and heeds the reason.
    """

    reason: Words
    end: bool | None = None


class PersonsAnswer(_Body):
    """What the customer is told."""

    answer: Words


class Question(_Body):
    """What the customer is asked."""

    question: Words


class Reassignment(_Body):
    """Who takes over, one of the three, and why: they read it."""

    reason: Words
    agent: Named | None = None
    person: Named | None = None
    group: Named | None = None


class ReviewList(BaseModel):
    """Items that nobody has decided: what is urgent first, then what is due first.

    `waiting` counts those not listed too, 10,000 at most. `next` is the cursor of the next page,
    or None after the last.
    """

    model_config = ConfigDict(frozen=True)

    reviews: list[QueueRow]
    waiting: int
    next: str | None = None


class QueueQuery(_Body):
    """Which items are listed; what is left out is not asked for."""

    agent: Named | None = None
    kind: ReviewKind | None = None
    priority: PriorityName | None = None
    group: Named | None = None
    task: UUID | None = None
    mine: bool = False
    overdue: bool = False
    unclaimed: bool = False
    after: Annotated[str, Field(max_length=400, description="`next` of the page before.")] = ""
    limit: Annotated[int, Field(ge=1, le=200, description="Rows at most.")] = 50


@router.get("", responses=documented())
def list_reviews(
    resources: Resources, holder: DeskReader, asked: Annotated[QueueQuery, Query()]
) -> ReviewList:
    """What waits for a person, without the packets."""
    wanted = QueueFilter(
        tenant=holder.sees,
        groups=holder.groups,
        agent=asked.agent,
        kind=asked.kind,
        priority=ReviewPriority[asked.priority.upper()] if asked.priority else None,
        group=asked.group,
        task_id=asked.task,
        mine=holder.label if asked.mine else None,
        overdue=asked.overdue,
        unclaimed=asked.unclaimed,
    )
    after = read_cursor(asked.after) if asked.after else None
    rows, number = list_queue(resources, wanted, after=after, limit=asked.limit)
    more = len(rows) == asked.limit
    return ReviewList(
        reviews=rows, waiting=number, next=cursor_of(rows[-1].place) if more else None
    )


@router.get("/{review_id}", responses=documented(HTTPStatus.NOT_FOUND))
def read_review(resources: Resources, holder: DeskReader, review_id: UUID) -> ReviewItem:
    """One item with its whole packet."""
    return find_review(resources, holder, review_id)


@router.post("/{review_id}/claim", responses=_READS_BODY)
def claim(
    resources: Resources, holder: Reviewer, review_id: UUID, body: ClaimTime | None = None
) -> ReviewItem:
    """Keep an item for oneself: nobody else can decide it until the time is over."""
    minutes = (body or ClaimTime()).minutes
    return claim_review(resources, holder, review_id, lasts=timedelta(minutes=minutes))


@router.post("/{review_id}/release", responses=_DECIDABLE)
def release(resources: Resources, holder: Reviewer, review_id: UUID) -> ReviewItem:
    """Give a claimed item back."""
    return release_review(resources, holder, review_id)


@router.post("/{review_id}/approve", responses=_DECIDABLE)
def approve_review(resources: Resources, holder: Reviewer, review_id: UUID) -> ReviewItem:
    """Let the agent do exactly the action that it proposed, or send the answer that it drafted."""
    return decide_review(resources, holder, review_id, Ruling.APPROVE)


@router.post("/{review_id}/edit", responses=_READS_BODY)
def edit_review(resources: Resources, holder: Reviewer, review_id: UUID, body: Edit) -> ReviewItem:
    """Let the action be done with other arguments, or send the answer in other words."""
    if (body.arguments is None) == (body.answer is None):
        raise InvalidInput("Send either arguments, for an action, or an answer.")
    return decide_review(
        resources,
        holder,
        review_id,
        Ruling.EDIT,
        text=body.answer or "",
        arguments=body.arguments,
    )


@router.post("/{review_id}/reject", responses=_READS_BODY)
def reject_review(
    resources: Resources, holder: Reviewer, review_id: UUID, body: Rejection
) -> ReviewItem:
    """Refuse the proposal. The agent is told why and goes on without it, or the task ends."""
    return decide_review(
        resources, holder, review_id, Ruling.REJECT, text=body.reason, end=body.end
    )


@router.post("/{review_id}/answer", responses=_READS_BODY)
def answer_review(
    resources: Resources, holder: Reviewer, review_id: UUID, body: PersonsAnswer
) -> ReviewItem:
    """End the task with an answer of one's own, in the agent's place."""
    return decide_review(resources, holder, review_id, Ruling.ANSWER, text=body.answer)


@router.post("/{review_id}/ask", responses=_READS_BODY)
def ask_customer(
    resources: Resources, holder: Reviewer, review_id: UUID, body: Question
) -> ReviewItem:
    """Ask the customer something; the next task of the session goes on with the answer."""
    return decide_review(resources, holder, review_id, Ruling.ASK, text=body.question)


@router.post(
    "/{review_id}/reassign",
    responses={**_READS_BODY, 204: {"description": "Another person or group has it."}},
    response_model=ReviewItem,
)
def reassign_review(
    resources: Resources, holder: Reviewer, review_id: UUID, body: Reassignment
) -> ReviewItem | Response:
    """Give the task to another agent, or the item to another person or group."""
    if body.agent is not None:
        if body.person is not None or body.group is not None:
            raise InvalidInput("Name one who takes over: an agent, a person or a group.")
        return decide_review(
            resources, holder, review_id, Ruling.REASSIGN, text=body.reason, agent=body.agent
        )
    hand_over_review(
        resources, holder, review_id, note=body.reason, person=body.person, group=body.group
    )
    return Response(status_code=HTTPStatus.NO_CONTENT)


_PLACE = TypeAdapter(tuple[int, datetime, UUID])


def cursor_of(place: Place) -> str:
    """A place in the queue as text for an address."""
    told = json.dumps([place.priority, place.due_at.isoformat(), str(place.id)])
    return base64.urlsafe_b64encode(told.encode()).decode()


def read_cursor(cursor: str) -> Place:
    """The place that a cursor names.

    Raises:
        InvalidInput: It is none of ours.
    """
    try:
        told = base64.b64decode(cursor, altchars=b"-_", validate=True)
        priority, due_at, review_id = _PLACE.validate_json(told)
        if due_at.tzinfo is None or not 0 <= priority <= ReviewPriority.LOW:
            raise ValueError(cursor)  # noqa: TRY301 every fault of a cursor is answered in one place
    except (binascii.Error, ValidationError, ValueError) as error:
        raise InvalidInput("after is no cursor: send next of the page before.") from error
    return Place(priority=priority, due_at=due_at, id=review_id)
