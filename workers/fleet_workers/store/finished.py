"""Tasks that have ended, one by one and in the order in which they did."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Uuid,
    func,
    literal,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import distinct_on

from fleet_contracts.outcome import ReviewKind
from fleet_workers.store.tables import reviews, steps, tasks

AFTERWARDS = frozenset({ReviewKind.SAMPLED, ReviewKind.FLAGGED})
"""Kinds about tasks that have ended: a ruling tells whether the agent was right, and no more."""

_STORED = ("exact_cache", "semantic_cache")
_INPUT_CHARACTERS = 8000  # enough to tell what a request is about

FIRST_ID = UUID(int=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A place in the order of time; of the same moment the smaller id comes first."""

    at: datetime
    id: UUID = FIRST_ID


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedTask:
    """A task that has ended, as far as it counts. `words` is the request, cut.

    `was_reviewed` tells that a person was asked before it ended. `cost_usd` is what its model calls
    cost as far as prices are known. `took` runs from its submission. `cached` tells that one of its
    plans was a stored one.
    """

    id: UUID
    tenant: str
    agent: str
    state: str
    words: str
    confidence: float | None
    kind: str | None
    submitted_at: datetime
    finished_at: datetime
    cost_usd: Decimal
    was_reviewed: bool
    offline: bool
    cached: bool = False

    @property
    def mark(self) -> Mark:
        """Its place among those that have ended."""
        return Mark(at=self.finished_at, id=self.id)

    @property
    def took(self) -> timedelta:
        """Time from submission to end."""
        return max(timedelta(0), self.finished_at - self.submitted_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedTask:
    """A task that has ended, with what was asked and what was said."""

    id: UUID
    tenant: str
    agent: str
    release: str | None
    envelope: Mapping[str, Any]
    outcome: Mapping[str, Any]
    finished_at: datetime


def ended_after(
    connection: Connection, mark: Mark, *, older_than: timedelta, limit: int
) -> list[EndedTask]:
    """Tasks that ended after a mark, in order.

    None younger than `older_than` is given: a transaction that began before others may commit
    after them, and must not be passed over.
    """
    place = tuple_(tasks.c.finished_at, tasks.c.id)
    rows = connection.execute(
        select(*_COUNTED)
        .where(
            tasks.c.finished_at.is_not(None),
            place > tuple_(literal(mark.at), literal(mark.id, Uuid)),
            tasks.c.finished_at < func.now() - older_than,
        )
        .order_by(tasks.c.finished_at, tasks.c.id)
        .limit(limit)
    ).all()
    ids = [row.id for row in rows]
    costs, offline, reviewed, cached = (
        _costs(connection, ids),
        ran_offline(connection, ids),
        set(first_escalations(connection, ids)),
        _had_stored_plans(connection, ids),
    )
    return [
        _ended(
            row,
            cost_usd=costs.get(row.id, Decimal(0)),
            was_reviewed=row.id in reviewed,
            offline=row.id in offline,
            cached=row.id in cached,
        )
        for row in rows
    ]


def requests_between(
    connection: Connection, after: Mark | None, until: Mark, *, limit: int
) -> list[tuple[str, str]]:
    """Agent and words of tasks that ended after one mark and up to another, the newest last.

    Of more than `limit` the newest are given.
    """
    place = tuple_(tasks.c.finished_at, tasks.c.id)
    query = (
        select(tasks.c.agent, _WORDS)
        .where(
            tasks.c.finished_at.is_not(None),
            place <= tuple_(literal(until.at), literal(until.id, Uuid)),
        )
        .order_by(tasks.c.finished_at.desc(), tasks.c.id.desc())
        .limit(limit)
    )
    if after is not None:
        query = query.where(place > tuple_(literal(after.at), literal(after.id, Uuid)))
    return [(row[0], row[1] or "") for row in connection.execute(query)][::-1]


def find_finished(
    connection: Connection, task_id: UUID, *, tenant: str | None, lock: bool = False
) -> FinishedTask | None:
    """A task that has ended; None where it is not there, or goes on. `tenant=None` sees all.

    With `lock` nobody else gets it so until this transaction ends.
    """
    query = select(
        tasks.c.id,
        tasks.c.tenant,
        tasks.c.agent,
        tasks.c.release,
        tasks.c.envelope,
        tasks.c.outcome,
        tasks.c.finished_at,
    ).where(tasks.c.id == task_id, tasks.c.finished_at.is_not(None))
    if tenant is not None:
        query = query.where(tasks.c.tenant == tenant)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        return None
    return FinishedTask(
        id=row.id,
        tenant=row.tenant,
        agent=row.agent,
        release=row.release,
        envelope=_object(row.envelope),
        outcome=_object(row.outcome),
        finished_at=row.finished_at,
    )


def ran_offline(connection: Connection, task_ids: Collection[UUID]) -> set[UUID]:
    """Those of the tasks in which the built-in offline model had a part."""
    return set(
        connection.execute(
            select(steps.c.task_id).where(
                steps.c.task_id.in_(task_ids), steps.c.model.like("offline-%")
            )
        ).scalars()
    )


def first_escalations(connection: Connection, task_ids: Collection[UUID]) -> dict[UUID, UUID]:
    """The first review of each task that was put before a person while it went on."""
    rows = connection.execute(
        select(reviews.c.task_id, reviews.c.id)
        .ext(distinct_on(reviews.c.task_id))
        .where(reviews.c.task_id.in_(task_ids), reviews.c.kind.not_in(AFTERWARDS))
        .order_by(reviews.c.task_id, reviews.c.id)
    )
    return {row[0]: row[1] for row in rows}


def _had_stored_plans(connection: Connection, task_ids: Collection[UUID]) -> set[UUID]:
    return set(
        connection.execute(
            select(steps.c.task_id).where(
                steps.c.task_id.in_(task_ids),
                steps.c.kind == "plan",
                steps.c.result["source"].as_string().in_(_STORED),
            )
        ).scalars()
    )


def _costs(connection: Connection, task_ids: Collection[UUID]) -> dict[UUID, Decimal]:
    rows = connection.execute(
        select(steps.c.task_id, func.sum(steps.c.cost_usd))
        .where(steps.c.task_id.in_(task_ids), steps.c.cost_usd.is_not(None))
        .group_by(steps.c.task_id)
    )
    return {row[0]: row[1] for row in rows}


_WORDS: ColumnElement[str] = func.left(tasks.c.envelope["input"].as_string(), _INPUT_CHARACTERS)
_COUNTED = (
    tasks.c.id,
    tasks.c.tenant,
    tasks.c.agent,
    tasks.c.state,
    _WORDS.label("words"),
    tasks.c.outcome["confidence"].label("confidence"),
    tasks.c.outcome["kind"].as_string().label("kind"),
    tasks.c.submitted_at,
    tasks.c.finished_at,
)


def _ended(
    row: Row[Any], *, cost_usd: Decimal, was_reviewed: bool, offline: bool, cached: bool
) -> EndedTask:
    sure = row.confidence
    return EndedTask(
        id=row.id,
        tenant=row.tenant,
        agent=row.agent,
        state=row.state,
        words=row.words or "",
        confidence=float(sure) if isinstance(sure, int | float) and 0 <= sure <= 1 else None,
        kind=row.kind,
        submitted_at=row.submitted_at,
        finished_at=row.finished_at,
        cost_usd=cost_usd,
        was_reviewed=was_reviewed,
        offline=offline,
        cached=cached,
    )


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
