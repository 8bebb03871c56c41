"""The queue of what waits for people: pages of it, who works on it, and what is overdue.

Lists read no packets, so that their cost does not depend on what agents found.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from sqlalchemy import ColumnElement, Connection, Select, case, func, or_, select, tuple_, update

from fleet_contracts.outcome import ReviewKind
from fleet_workers.store.reviews import ReviewItem, columns, item_of, visible
from fleet_workers.store.tables import reviews

_LISTED = (
    "id",
    "task_id",
    "tenant",
    "agent",
    "kind",
    "reason",
    "created_at",
    "claimed_by",
    "claimed_until",
    "priority",
    "due_at",
    "group",
    "skills",
    "assignee",
    "escalation",
    "request_line",
    "proposal_line",
    "customer",
    "confidence",
)
_UNCLAIMED = {"claimed_by": None, "claimed_at": None, "claimed_until": None}


class QueueRow(BaseModel):
    """What a list shows of an item that waits. `confidence` is from 0 to 1."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    task_id: UUID
    tenant: str
    agent: str
    kind: ReviewKind
    reason: str
    created_at: datetime
    claimed_by: str | None = None
    claimed_until: datetime | None = None
    priority: int
    due_at: datetime
    group: str | None = None
    skills: tuple[str, ...] = ()
    assignee: str | None = None
    escalation: int = 0
    request_line: str = ""
    proposal_line: str = ""
    customer: str | None = None
    confidence: float | None = None

    @property
    def place(self) -> "Place":
        """Where the row stands in the order of the queue."""
        return Place(priority=self.priority, due_at=self.due_at, id=self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A place in the order of the queue: what is urgent first, then what is due first."""

    priority: int
    due_at: datetime
    id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueFilter:
    """Which items are meant; what is left out is not asked for.

    `groups` are those that somebody may see (items of no group are everybody's), None all.
    `mine` are items that this person has claimed or was given. `skills` are those that somebody
    has: what asks for others is left out.
    """

    tenant: str | None = None
    agent: str | None = None
    kind: ReviewKind | None = None
    priority: int | None = None
    group: str | None = None
    groups: tuple[str, ...] | None = None
    mine: str | None = None
    skills: tuple[str, ...] | None = None
    overdue: bool = False
    unclaimed: bool = False
    task_id: UUID | None = None


def page(
    connection: Connection, wanted: QueueFilter, *, after: Place | None = None, limit: int = 50
) -> list[QueueRow]:
    """Rows that wait, in the order of the queue; `after` is the place of the last one seen."""
    query = page_query(wanted, after=after, limit=limit)
    return [QueueRow.model_validate(dict(row._mapping)) for row in connection.execute(query)]  # noqa: SLF001 the documented way to a dict


def page_query(wanted: QueueFilter, *, after: Place | None = None, limit: int) -> Select[Any]:
    """What `page` asks."""
    order = (reviews.c.priority, reviews.c.due_at, reviews.c.id)
    listed = [column for column in columns() if column.name in _LISTED]
    query = select(*listed).where(*conditions(wanted)).order_by(*order).limit(limit)
    if after is not None:
        place = (after.priority, after.due_at, after.id)
        query = query.where(tuple_(*order) > tuple_(*place))
    return query


def count(connection: Connection, wanted: QueueFilter, *, most: int = 10_000) -> int:
    """Number of items, or `most` where there are more: a count shall not cost more than a page."""
    some = select(reviews.c.id).where(*conditions(wanted)).limit(most).subquery()
    return connection.execute(select(func.count()).select_from(some)).scalar_one()


def claim(
    connection: Connection,
    review_id: UUID,
    *,
    tenant: str | None,
    by: str,
    lasts: timedelta,
    groups: tuple[str, ...] | None = None,
) -> ReviewItem | None:
    """Keep an item for one person, or keep it longer; None where it is not to be had.

    A claim of somebody else holds until its time is over.
    """
    row = connection.execute(
        update(reviews)
        .where(
            reviews.c.id == review_id,
            reviews.c.state == "waiting",
            or_(
                reviews.c.claimed_by.is_(None),
                reviews.c.claimed_by == by,
                reviews.c.claimed_until <= func.now(),
            ),
            *visible(tenant, groups),
        )
        .values(
            claimed_by=by,
            claimed_at=case((_is_held_by(by), reviews.c.claimed_at), else_=func.now()),
            claimed_until=func.now() + lasts,
        )
        .returning(*columns())
    ).one_or_none()
    return item_of(row) if row is not None else None


def release(connection: Connection, review_id: UUID, *, tenant: str | None, by: str) -> bool:
    """Give a claimed item back; tells whether this person held it."""
    released = connection.execute(
        update(reviews)
        .where(reviews.c.id == review_id, reviews.c.claimed_by == by, *visible(tenant, None))
        .values(**_UNCLAIMED)
        .returning(reviews.c.id)
    )
    return released.scalar() is not None


def hand_over(
    connection: Connection,
    review_id: UUID,
    *,
    group: str | None = None,
    assignee: str | None = None,
    packet: dict[str, Any] | None = None,
) -> ReviewItem:
    """Give an item that the caller has locked to a group or a person; nobody holds it then."""
    values: dict[str, Any] = {
        "claimed_by": None,
        "claimed_at": None,
        "claimed_until": None,
        "assignee": assignee,
    }
    values |= {"group": group} if group is not None else {}
    values |= {"packet": packet} if packet is not None else {}
    row = connection.execute(
        update(reviews).where(reviews.c.id == review_id).values(**values).returning(*columns())
    ).one()
    return item_of(row)


def due_to_escalate(connection: Connection, *, limit: int) -> list[tuple[UUID, UUID]]:
    """Ids of items whose next escalation is due, and of their tasks, the longest first."""
    rows = connection.execute(
        select(reviews.c.id, reviews.c.task_id)
        .where(reviews.c.state == "waiting", reviews.c.escalate_at <= func.now())
        .order_by(reviews.c.escalate_at)
        .limit(limit)
    )
    return [(row.id, row.task_id) for row in rows]


def lock_to_escalate(connection: Connection, review_id: UUID) -> ReviewItem | None:
    """Lock an item whose next escalation is due; None where it is no more."""
    row = connection.execute(
        select(*columns())
        .where(
            reviews.c.id == review_id,
            reviews.c.state == "waiting",
            reviews.c.escalate_at <= func.now(),
        )
        .with_for_update()
    ).one_or_none()
    return item_of(row) if row is not None else None


def stop_escalation(connection: Connection, review_id: UUID) -> None:
    """Let no further step follow."""
    connection.execute(update(reviews).where(reviews.c.id == review_id).values(escalate_at=None))


def end_claim(connection: Connection, review_id: UUID) -> None:
    """Take an item from whoever has claimed it."""
    connection.execute(update(reviews).where(reviews.c.id == review_id).values(**_UNCLAIMED))


def note_escalation(
    connection: Connection,
    review_id: UUID,
    *,
    escalate_at: datetime | None,
    what: Literal["remind", "raise", "hand_to", "refuse"],
    group: str | None = None,
) -> ReviewItem:
    """Count an escalation, do what is done to the row, and set the time of the next one."""
    values: dict[str, Any] = {
        "escalation": reviews.c.escalation + 1,
        "escalate_at": escalate_at,
    }
    if what == "raise":
        values["priority"] = func.greatest(reviews.c.priority - 1, 0)
    if what == "hand_to":
        values |= {**_UNCLAIMED, "group": group, "assignee": None}
    row = connection.execute(
        update(reviews).where(reviews.c.id == review_id).values(**values).returning(*columns())
    ).one()
    return item_of(row)


def _is_held_by(by: str) -> ColumnElement[bool]:
    return (reviews.c.claimed_by == by) & (reviews.c.claimed_until > func.now())


def conditions(wanted: QueueFilter) -> Sequence[ColumnElement[bool]]:
    """What a filter asks for, of items that wait."""
    found: list[ColumnElement[bool]] = [
        reviews.c.state == "waiting",
        *visible(wanted.tenant, wanted.groups),
    ]
    for column, value in (
        (reviews.c.agent, wanted.agent),
        (reviews.c.kind, wanted.kind),
        (reviews.c.priority, wanted.priority),
        (reviews.c.group, wanted.group),
        (reviews.c.task_id, wanted.task_id),
    ):
        if value is not None:
            found.append(column == value)
    held = reviews.c.claimed_until > func.now()
    if wanted.mine is not None:
        found.append(
            or_(
                (reviews.c.claimed_by == wanted.mine) & held,
                reviews.c.assignee == wanted.mine,
            )
        )
    if wanted.skills is not None:
        found.append(reviews.c.skills.op("<@")(list(wanted.skills)))
    if wanted.overdue:
        found.append(reviews.c.due_at <= func.now())
    if wanted.unclaimed:
        found.append(or_(reviews.c.claimed_by.is_(None), reviews.c.claimed_until <= func.now()))
    return found
