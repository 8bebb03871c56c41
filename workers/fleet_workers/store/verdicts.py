"""Sums over what people judged and what customers said, for the figures of quality."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, Table, func, select

from fleet_contracts.outcome import ReviewKind
from fleet_workers.store.desk_tables import feedback, labels

BINS: Final = 10
"""Bins of stated confidence, each a tenth wide; the last one holds 1 too."""

_UNBIASED = (ReviewKind.SAMPLED, ReviewKind.LOW_CONFIDENCE, ReviewKind.UNGROUNDED)
"""Reviews that came by chance, or of which none is left out: complaints would tell only of the
bad."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Whose verdicts are counted, from when. `tenant=None` is all tenants.

    `agents` are never empty names: where one is chosen, it alone.
    """

    tenant: str | None
    agents: Collection[str]
    since: datetime
    offline: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StratumVerdicts:
    """Of an agent's stratum: drawn tasks that were judged, and those of them that were right."""

    agent: str
    stratum: str
    judged: int
    right: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BinVerdicts:
    """Of a bin of confidence (0 to `BINS` - 1): judged answers, and sums over their weights."""

    bin: int
    judged: int
    weight: float
    weight_squares: float
    stated: float
    right: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DayFeedback:
    """What was said about tasks on a day (UTC)."""

    day: date
    good: int
    bad: int
    flagged: int


def sampled_verdicts(connection: Connection, scope: Scope) -> list[StratumVerdicts]:
    """Verdicts on tasks that were drawn, by agent and stratum."""
    query = (
        select(
            labels.c.agent,
            func.coalesce(labels.c.stratum, "").label("stratum"),
            func.count().label("judged"),
            func.count().filter(labels.c.right).label("right"),
        )
        .where(labels.c.kind == ReviewKind.SAMPLED, labels.c.right.is_not(None))
        .group_by(labels.c.agent, "stratum")
    )
    rows = connection.execute(_of_labels(query, scope))
    return [StratumVerdicts(**row._mapping) for row in rows]  # noqa: SLF001 the way to a dict


def calibration(connection: Connection, scope: Scope) -> list[BinVerdicts]:
    """Verdicts by the confidence that was stated."""
    place: ColumnElement[int] = func.least(func.floor(labels.c.confidence * BINS), BINS - 1)
    weight = labels.c.weight
    query = (
        select(
            place.label("bin"),
            func.count().label("judged"),
            func.sum(weight).label("weight"),
            func.sum(weight * weight).label("weight_squares"),
            func.sum(weight * labels.c.confidence).label("stated"),
            func.coalesce(func.sum(weight).filter(labels.c.right), 0.0).label("right"),
        )
        .where(
            labels.c.kind.in_(_UNBIASED),
            labels.c.right.is_not(None),
            labels.c.confidence.is_not(None),
        )
        .group_by("bin")
        .order_by("bin")
    )
    return [
        BinVerdicts(**{**row._mapping, "bin": int(row.bin)})  # noqa: SLF001 the way to a dict
        for row in connection.execute(_of_labels(query, scope))
    ]


def feedback_by_day(connection: Connection, scope: Scope) -> list[DayFeedback]:
    """What customers and their programs said, by day."""
    day = func.date(feedback.c.created_at).label("day")
    query = (
        select(
            day,
            func.count().filter(feedback.c.rating == "good").label("good"),
            func.count().filter(feedback.c.rating == "bad").label("bad"),
            func.count().filter(feedback.c.flagged).label("flagged"),
        )
        .where(feedback.c.created_at >= scope.since)
        .group_by(day)
        .order_by(day)
    )
    rows = connection.execute(_of_scope(query, feedback, scope))
    return [DayFeedback(**row._mapping) for row in rows]  # noqa: SLF001 the way to a dict


def _of_labels(query: Select[Any], scope: Scope) -> Select[Any]:
    chosen = query.where(labels.c.decided_at >= scope.since, labels.c.offline == scope.offline)
    return _of_scope(chosen, labels, scope)


def _of_scope(query: Select[Any], table: Table, scope: Scope) -> Select[Any]:
    chosen = query.where(table.c.agent.in_(scope.agents))
    return chosen if scope.tenant is None else chosen.where(table.c.tenant == scope.tenant)
