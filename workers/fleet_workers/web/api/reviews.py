"""What waits for a person: `GET /v1/reviews` and `GET /v1/reviews/{id}`."""

from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict

from fleet_contracts.errors import UnknownReview
from fleet_workers.store import reviews
from fleet_workers.store.accounts import KeyHolder
from fleet_workers.store.reviews import ReviewItem
from fleet_workers.web.access import DeskReader
from fleet_workers.web.problems import documented
from fleet_workers.web.resources import Resources, WebResources

router = APIRouter(prefix="/v1/reviews", tags=["reviews"])


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
