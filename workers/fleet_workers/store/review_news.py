"""What has changed in a list of reviews since somebody read it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, func, select

from fleet_workers.store.review_queue import QueueFilter, conditions
from fleet_workers.store.reviews import visible
from fleet_workers.store.tables import reviews

_COUNTED = 100  # more than that is "100 or more": a count shall not cost more than a page


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """`new` counts items that were opened since, to 100. `gone` wait no more.

    `held_by` names who works on each item of the list now; those that nobody works on are not in
    it.
    """

    new: int
    gone: frozenset[UUID]
    held_by: dict[UUID, str]


def news(
    connection: Connection, wanted: QueueFilter, *, since: datetime, shown: Sequence[UUID]
) -> News:
    """Compare a list that was read at `since` and showed these items with what is so now."""
    some = (
        select(reviews.c.id)
        .where(*conditions(wanted), reviews.c.created_at > since)
        .limit(_COUNTED)
        .subquery()
    )
    new = connection.execute(select(func.count()).select_from(some)).scalar_one()
    held = reviews.c.claimed_until > func.now()
    rows = connection.execute(
        select(reviews.c.id, reviews.c.claimed_by, held.label("is_held")).where(
            reviews.c.id.in_(list(shown)),
            reviews.c.state == "waiting",
            *visible(wanted.tenant, wanted.groups),
        )
    ).all()
    return News(
        new=new,
        gone=frozenset(shown) - {row.id for row in rows},
        held_by={row.id: row.claimed_by for row in rows if row.is_held},
    )
