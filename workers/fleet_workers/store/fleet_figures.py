"""Counts for metrics, of all tenants together. None of them reads tasks that have ended.

Each is bounded by what is open, by an index, or by days: a store with a million finished tasks
answers as fast as an empty one.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Numeric, func, select, text

from fleet_workers.store.desk_tables import feedback, quality_days
from fleet_workers.store.model_tables import bulk_requests
from fleet_workers.store.quality import ALL
from fleet_workers.store.spend import tenant_total
from fleet_workers.store.tables import dead_letters, reviews

_MOST_REASONS: Final = 50

_SPENT = text("""
SELECT kind, subject, amount_usd FROM spend_totals
WHERE day = CAST(now() AT TIME ZONE 'UTC' AS date)
    AND (kind, subject) IN (
        SELECT * FROM unnest(CAST(:kinds AS text[]), CAST(:subjects AS text[])))
""")
_TENANTS = text("SELECT name FROM tenants")
_OUTBOX = text("""
SELECT count(*) AS waiting,
    COALESCE(EXTRACT(EPOCH FROM now() - min(created_at)), 0) AS oldest_seconds
FROM outbox
""")


class WaitingReviews(NamedTuple):
    """Of an agent: items that wait, those of them that are overdue, and the age of the first."""

    waiting: int
    overdue: int
    oldest_seconds: float


class MonthCounts(NamedTuple):
    """What ended in this month (UTC), as `quality.Counts` says it."""

    finished: int
    alone: int
    escalated: int
    cost_usd: float


def waiting_reviews(connection: Connection) -> dict[str, WaitingReviews]:
    """Reviews that nobody has decided, by agent."""
    age = func.extract("epoch", func.now() - func.min(reviews.c.created_at))
    rows = connection.execute(
        select(
            reviews.c.agent,
            func.count(),
            func.count().filter(reviews.c.due_at <= func.now()),
            age,
        )
        .where(reviews.c.state == "waiting")
        .group_by(reviews.c.agent)
    )
    return {row[0]: WaitingReviews(row[1], row[2], max(0.0, float(row[3]))) for row in rows}


def open_dead_letters(connection: Connection) -> dict[str, int]:
    """Dead letters that nobody settled, by reason, the most frequent first."""
    number = func.count()
    rows = connection.execute(
        select(dead_letters.c.reason, number)
        .where(dead_letters.c.settled_at.is_(None))
        .group_by(dead_letters.c.reason)
        .order_by(number.desc(), dead_letters.c.reason)
        .limit(_MOST_REASONS)
    )
    return {row[0]: row[1] for row in rows}


def outbox_age(connection: Connection) -> tuple[int, float]:
    """Letters that wait, and the age of the first in seconds; 0 where none waits."""
    row = connection.execute(_OUTBOX).one()
    return row.waiting, max(0.0, float(row.oldest_seconds))


def month_counts(connection: Connection, since: date) -> dict[tuple[str, bool], MonthCounts]:
    """Sums of the days from `since` by agent, and whether the offline model had a part."""
    day = quality_days.c
    rows = connection.execute(
        select(
            day.agent,
            day.offline,
            func.sum(day.finished),
            func.sum(day.alone),
            func.sum(day.escalated),
            func.sum(day.cost_usd, type_=Numeric),
        )
        .where(day.tenant == ALL, day.day >= since)
        .group_by(day.agent, day.offline)
        .order_by(day.agent, day.offline)
    )
    return {
        (row[0], row[1]): MonthCounts(row[2], row[3], row[4], float(row[5] or 0)) for row in rows
    }


def feedback_since(connection: Connection, since: Any) -> dict[tuple[str, str], int]:
    """What was said about tasks from a moment on, by agent and `good`, `bad` or `flagged`."""
    rows = connection.execute(
        select(
            feedback.c.agent,
            func.count().filter(feedback.c.rating == "good"),
            func.count().filter(feedback.c.rating == "bad"),
            func.count().filter(feedback.c.flagged),
        )
        .where(feedback.c.created_at >= since)
        .group_by(feedback.c.agent)
        .order_by(feedback.c.agent)
    )
    said = ("good", "bad", "flagged")
    return {(row[0], name): row[1 + place] for row in rows for place, name in enumerate(said)}


def bulk_states(connection: Connection) -> dict[str, int]:
    """Questions for the Batch API by their state; those that are done are deleted soon."""
    rows = connection.execute(
        select(bulk_requests.c.state, func.count()).group_by(bulk_requests.c.state)
    )
    return {row[0]: row[1] for row in rows}


def spent_today(
    connection: Connection, subjects: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], Decimal]:
    """Totals of today (UTC) by kind and subject, of those that are asked for and not empty."""
    if not subjects:
        return {}
    kinds, names = zip(*subjects, strict=True)
    rows = connection.execute(_SPENT, {"kinds": list(kinds), "subjects": list(names)})
    found: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for row in rows:
        found[row.kind, row.subject] += row.amount_usd
    return found


def tenant_subjects(connection: Connection) -> Mapping[str, str]:
    """The subject of each tenant's totals, by the tenant's name."""
    return {name: tenant_total(name) for name in connection.execute(_TENANTS).scalars()}
