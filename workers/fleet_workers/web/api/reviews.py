"""What waits for a person: `GET /v1/reviews`, `…/{id}`, `POST …/{id}/approve|reject|answer`."""

from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, StringConstraints

from fleet_contracts.errors import UnknownReview
from fleet_workers.review.decisions import Ruling, decide
from fleet_workers.store import reviews
from fleet_workers.store.accounts import KeyHolder
from fleet_workers.store.reviews import ReviewItem
from fleet_workers.web.access import DeskReader, Reviewer
from fleet_workers.web.problems import documented
from fleet_workers.web.resources import Resources, WebResources

router = APIRouter(prefix="/v1/reviews", tags=["reviews"])
_DECIDABLE = documented(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)
Words = Annotated[str, StringConstraints(min_length=1, max_length=20_000, strip_whitespace=True)]


class Rejection(BaseModel):
    """Why; the agent, or the producer of the task, reads it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: Words


class PersonsAnswer(BaseModel):
    """What the customer is told."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    answer: Words


class ReviewList(BaseModel):
    """Items that nobody has decided, oldest first. `waiting` counts those not listed too."""

    model_config = ConfigDict(frozen=True)

    reviews: list[ReviewItem]
    waiting: int


@router.get("", responses=documented())
def list_reviews(
    resources: Resources,
    holder: DeskReader,
    limit: Annotated[int, Query(ge=1, le=200, description="Rows at most.")] = 50,
) -> ReviewList:
    """What waits for a person."""
    with resources.transaction() as connection:
        return ReviewList(
            reviews=reviews.waiting(connection, tenant=holder.sees, limit=limit),
            waiting=reviews.count_waiting(connection, tenant=holder.sees),
        )


@router.get("/{review_id}", responses=documented(HTTPStatus.NOT_FOUND))
def read_review(resources: Resources, holder: DeskReader, review_id: UUID) -> ReviewItem:
    """One item with its whole packet."""
    return find_review(resources, holder, review_id)


@router.post("/{review_id}/approve", responses=_DECIDABLE)
def approve_review(resources: Resources, holder: Reviewer, review_id: UUID) -> ReviewItem:
    """Let the agent do exactly the action that it proposed, or send the answer that it drafted."""
    return _decide(resources, holder, review_id, Ruling.APPROVE)


@router.post("/{review_id}/reject", responses=_DECIDABLE)
def reject_review(
    resources: Resources, holder: Reviewer, review_id: UUID, body: Rejection
) -> ReviewItem:
    """Refuse the proposal. An agent that proposed an action is told why and goes on without it."""
    return _decide(resources, holder, review_id, Ruling.REJECT, body.reason)


@router.post("/{review_id}/answer", responses=_DECIDABLE)
def answer_review(
    resources: Resources, holder: Reviewer, review_id: UUID, body: PersonsAnswer
) -> ReviewItem:
    """End the task with an answer of one's own, in the agent's place."""
    return _decide(resources, holder, review_id, Ruling.ANSWER, body.answer)


def _decide(
    resources: WebResources, holder: KeyHolder, review_id: UUID, ruling: Ruling, text: str = ""
) -> ReviewItem:
    with resources.transaction() as connection:
        letters = decide(
            connection,
            review_id,
            tenant=holder.sees,
            ruling=ruling,
            decided_by=holder.label,
            text=text,
        )
    resources.publish(letters)
    return find_review(resources, holder, review_id)


def find_review(resources: WebResources, holder: KeyHolder, review_id: UUID) -> ReviewItem:
    """One item that the holder may see.

    Raises:
        UnknownReview: It does not exist, or belongs to another tenant.
        Unavailable: The store is away.
    """
    with resources.transaction() as connection:
        item = reviews.get(connection, review_id, tenant=holder.sees)
    if item is None:
        raise UnknownReview(f"No review {review_id} is known to this key.")
    return item
