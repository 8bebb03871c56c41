"""Rows of items that wait for a person."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    case,
    func,
    insert,
    null,
    or_,
    select,
    update,
)

from fleet_contracts.ids import new_task_id
from fleet_contracts.outcome import ReviewKind
from fleet_workers.store.tables import reviews

_CLAIM = frozenset({"claimed_by", "claimed_at", "claimed_until"})


class ReviewItem(BaseModel):
    """One thing that a person must decide. `packet` holds the whole context."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    task_id: UUID
    tenant: str
    agent: str
    kind: ReviewKind
    reason: str
    state: str
    packet: dict[str, Any]
    created_at: datetime
    decided_at: datetime | None = None
    decided_by: str | None = None
    decision: dict[str, Any] | None = None
    claimed_by: str | None = None
    claimed_at: datetime | None = None
    claimed_until: datetime | None = None
    priority: int = 2
    due_at: datetime | None = None
    group: str | None = None
    skills: tuple[str, ...] = ()
    assignee: str | None = None
    escalation: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a new item stands in the queue, and what a list shows of it.

    `due` and `escalates` are times from now; `escalates` is None where nothing follows.
    """

    priority: int
    due: timedelta
    group: str | None
    skills: tuple[str, ...]
    escalates: timedelta | None
    request_line: str
    proposal_line: str
    customer: str | None
    confidence: float | None


def add(
    connection: Connection,
    *,
    task_id: UUID,
    tenant: str,
    agent: str,
    kind: ReviewKind,
    reason: str,
    packet: Mapping[str, Any],
    standing: Standing | None = None,
) -> ReviewItem:
    """Write an item in the caller's transaction; without a standing it is due in a day."""
    row = connection.execute(
        insert(reviews)
        .values(
            id=new_task_id(),
            task_id=task_id,
            tenant=tenant,
            agent=agent,
            kind=kind,
            reason=reason,
            packet=dict(packet),
            **(_values(standing) if standing else {}),
        )
        .returning(*columns())
    ).one()
    return item_of(row)


def _values(standing: Standing) -> dict[str, Any]:
    values = {each.name: getattr(standing, each.name) for each in fields(standing)}
    escalates = values.pop("escalates")
    return values | {
        "due_at": func.now() + values.pop("due"),
        "skills": list(standing.skills),
        "escalate_at": None if escalates is None else func.now() + escalates,
    }


def close(connection: Connection, task_ids: Iterable[UUID], *, why: str) -> None:
    """Take items off the list whose task was ended in another way."""
    connection.execute(
        update(reviews)
        .where(reviews.c.task_id.in_(list(task_ids)), reviews.c.state == "waiting")
        .values(state="closed", decided_at=func.now(), decision={"closed": why})
    )


def get(
    connection: Connection,
    review_id: UUID,
    *,
    tenant: str | None,
    groups: tuple[str, ...] | None = None,
) -> ReviewItem | None:
    """One item; None in another tenant or group. `tenant=None` and `groups=None` see all."""
    query = select(*columns()).where(reviews.c.id == review_id, *visible(tenant, groups))
    row = connection.execute(query).one_or_none()
    return item_of(row) if row is not None else None


def lock(
    connection: Connection,
    review_id: UUID,
    *,
    tenant: str | None,
    groups: tuple[str, ...] | None = None,
) -> ReviewItem | None:
    """As `get`, and nobody else may decide it until this transaction ends."""
    query = select(*columns()).where(reviews.c.id == review_id, *visible(tenant, groups))
    row = connection.execute(query.with_for_update()).one_or_none()
    return item_of(row) if row is not None else None


def record_decision(
    connection: Connection, review_id: UUID, decision: Mapping[str, Any], *, decided_by: str
) -> ReviewItem:
    """Write what a person decided."""
    row = connection.execute(
        update(reviews)
        .where(reviews.c.id == review_id)
        .values(
            state="decided",
            decision=dict(decision),
            decided_by=decided_by,
            decided_at=func.now(),
        )
        .returning(*columns())
    ).one()
    return item_of(row)


def change_packet(
    connection: Connection,
    review_id: UUID,
    packet: Mapping[str, Any],
    *,
    proposal_line: str | None = None,
) -> None:
    """Put a packet in place of the one that an item holds, and the line that lists show of it."""
    connection.execute(
        update(reviews)
        .where(reviews.c.id == review_id)
        .values(
            packet=dict(packet),
            proposal_line=reviews.c.proposal_line if proposal_line is None else proposal_line,
            decision=null(),
        )
    )


def note_approvals(connection: Connection, review_id: UUID, approved_by: Sequence[str]) -> None:
    """Keep who has approved an item that needs more people."""
    connection.execute(
        update(reviews)
        .where(reviews.c.id == review_id)
        .values(decision={"approved_by": list(approved_by)})
    )


def decided(connection: Connection, *, limit: int) -> list[UUID]:
    """Lock items that hold a decision without a consequence, skipping those at work elsewhere."""
    rows = connection.execute(
        select(reviews.c.id)
        .where(reviews.c.state == "decided")
        .order_by(reviews.c.decided_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return list(rows.scalars())


def put_back(connection: Connection, review_id: UUID) -> None:
    """Let an item wait for a person again, without the decision that it holds."""
    connection.execute(
        update(reviews)
        .where(reviews.c.id == review_id)
        .values(state="waiting", decision=null(), decided_by=None, decided_at=None)
    )


def mark_resumed(connection: Connection, review_id: UUID) -> None:
    """Note that the decision has had its consequence."""
    connection.execute(update(reviews).where(reviews.c.id == review_id).values(state="resumed"))


def waiting(connection: Connection, *, tenant: str | None, limit: int = 50) -> list[ReviewItem]:
    """Items that nobody has decided with their packets, in the order of the queue."""
    query = (
        select(*columns())
        .where(reviews.c.state == "waiting")
        .order_by(reviews.c.priority, reviews.c.due_at, reviews.c.id)
        .limit(limit)
    )
    if tenant is not None:
        query = query.where(reviews.c.tenant == tenant)
    return [item_of(row) for row in connection.execute(query)]


def of_task(connection: Connection, task_id: UUID) -> list[ReviewItem]:
    """All items of one task, oldest first."""
    rows = connection.execute(
        select(*columns()).where(reviews.c.task_id == task_id).order_by(reviews.c.created_at)
    )
    return [item_of(row) for row in rows]


def count_waiting(connection: Connection, *, tenant: str | None) -> int:
    """Number of items that nobody has decided."""
    query = select(func.count()).select_from(reviews).where(reviews.c.state == "waiting")
    if tenant is not None:
        query = query.where(reviews.c.tenant == tenant)
    return connection.execute(query).scalar_one()


def columns() -> list[ColumnElement[Any]]:
    """All columns; a claim whose time is over reads as none."""
    holds = reviews.c.claimed_until > func.now()
    return [
        case((holds, each)).label(each.name) if each.name in _CLAIM else each for each in reviews.c
    ]


def visible(tenant: str | None, groups: tuple[str, ...] | None) -> list[ColumnElement[bool]]:
    """Conditions of what somebody may see: one tenant's, of some groups and of none; None all."""
    found: list[ColumnElement[bool]] = []
    if tenant is not None:
        found.append(reviews.c.tenant == tenant)
    if groups is not None:
        found.append(or_(reviews.c.group.is_(None), reviews.c.group.in_(groups)))
    return found


def item_of(row: Row[Any]) -> ReviewItem:
    """The item of a row with `columns`."""
    return ReviewItem.model_validate(dict(row._mapping))  # noqa: SLF001 the documented way to a dict
