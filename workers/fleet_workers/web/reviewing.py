"""What people do to reviews, for the API and the console alike."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from fleet_workers.review import assignment
from fleet_workers.review.assignment import CLAIM_LASTS, Reviewer
from fleet_workers.review.binding import Ruling
from fleet_workers.review.desk import decide_as
from fleet_workers.store import review_queue
from fleet_workers.store.accounts import KeyHolder
from fleet_workers.store.review_queue import Place, QueueFilter, QueueRow
from fleet_workers.store.reviews import ReviewItem
from fleet_workers.web.resources import WebResources


def reviewer(holder: KeyHolder) -> Reviewer:
    """Who acts, as the review desk knows them."""
    return Reviewer(name=holder.label, tenant=holder.sees, groups=holder.groups)


def find_review(resources: WebResources, holder: KeyHolder, review_id: UUID) -> ReviewItem:
    """One item that the holder may see.

    Raises:
        UnknownReview: It does not exist, or belongs to another tenant or group.
        Unavailable: The store is away.
    """
    with resources.transaction() as connection:
        return assignment.known(connection, review_id, reviewer(holder))


def list_queue(
    resources: WebResources, wanted: QueueFilter, *, after: Place | None, limit: int
) -> tuple[list[QueueRow], int]:
    """A page of what waits, and how many items there are in all (10,000 at most)."""
    with resources.transaction() as connection:
        rows = review_queue.page(connection, wanted, after=after, limit=limit)
        return rows, review_queue.count(connection, wanted)


def claim_review(
    resources: WebResources,
    holder: KeyHolder,
    review_id: UUID,
    *,
    lasts: timedelta = CLAIM_LASTS,
) -> ReviewItem:
    """Keep an item for the holder; raises as `assignment.claim`."""
    with resources.transaction() as connection:
        return assignment.claim(connection, review_id, reviewer(holder), lasts=lasts)


def release_review(resources: WebResources, holder: KeyHolder, review_id: UUID) -> ReviewItem:
    """Give an item back; raises as `assignment.release`."""
    with resources.transaction() as connection:
        return assignment.release(connection, review_id, reviewer(holder))


def decide_review(
    resources: WebResources,
    holder: KeyHolder,
    review_id: UUID,
    ruling: Ruling,
    *,
    text: str = "",
    arguments: Mapping[str, Any] | None = None,
    agent: str | None = None,
    end: bool | None = None,
    seen: str | None = None,
) -> ReviewItem:
    """Decide an item, and send the task on; raises as `desk.decide_as`."""
    with resources.transaction() as connection:
        letters = decide_as(
            connection,
            resources.catalogue,
            review_id,
            reviewer(holder),
            ruling,
            text=text,
            arguments=arguments,
            agent=agent,
            end=end,
            seen=seen,
            remember=resources.remember,
        )
    resources.publish(letters)
    return find_review(resources, holder, review_id)


def hand_over_review(
    resources: WebResources,
    holder: KeyHolder,
    review_id: UUID,
    *,
    note: str,
    person: str | None = None,
    group: str | None = None,
) -> None:
    """Give an item to another person or group; raises as `assignment.hand_over`.

    Who is bound to groups may not see it any more then.
    """
    with resources.transaction() as connection:
        letters = assignment.hand_over(
            connection, review_id, reviewer(holder), note=note, person=person, group=group
        )
    resources.publish(letters)
