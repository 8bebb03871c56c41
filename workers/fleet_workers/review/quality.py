"""The figures of quality over some days: what the page, the API and the command show alike."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Final

from sqlalchemy import Connection

from fleet_workers.review.accuracy import TOO_FEW, Estimate, Judged, estimate, wilson
from fleet_workers.review.percentiles import percentile
from fleet_workers.store import quality, verdicts
from fleet_workers.store.quality import Counts, DayKey
from fleet_workers.store.verdicts import BINS, BinVerdicts, DayFeedback, Scope, StratumVerdicts

PERIODS: Final = (7, 30, 90)
"""Days over which figures are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DayFigures:
    """One day (UTC). `finished` are all tasks that ended, however they did.

    `p50` and `p95` are of tasks that no person saw, from submission to answer. `escalation` is the
    share of tasks that an agent put before a person among all that it ended or put before one; None
    on a day without any.
    """

    day: date
    finished: int
    alone: int
    escalated: int
    escalation: float | None
    p50: timedelta | None
    p95: timedelta | None
    cost_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationBin:
    """Answers of about the same stated confidence. `right` is None where too few were judged."""

    lower: float
    upper: float
    judged: int
    stated: float
    right: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityFigures:
    """All figures of a period, which ends today. `agents` are those that did something in it."""

    agent: str | None
    offline: bool
    since: date
    agents: tuple[str, ...]
    days: tuple[DayFigures, ...]
    whole: DayFigures
    accuracy: Estimate
    accuracy_by_agent: tuple[tuple[str, Estimate], ...]
    calibration: tuple[CalibrationBin, ...]
    feedback: tuple[DayFeedback, ...]


def read_quality(
    connection: Connection,
    *,
    tenant: str | None,
    agent: str | None,
    days: int,
    now: datetime,
    offline: bool = False,
) -> QualityFigures:
    """Figures of one tenant, or with None of all; of one agent, or of all.

    `offline` shows what the built-in offline model did, which counts nowhere else.
    """
    today = now.astimezone(UTC).date()
    since = today - timedelta(days=days - 1)
    counted = quality.read_days(connection, tenant=tenant, agent=None, since=since, offline=offline)
    agents = tuple(sorted({key.agent for key, _ in counted}))
    chosen = [each for each in counted if agent in {None, each[0].agent}]
    scope = Scope(
        tenant=tenant,
        agents=agents if agent is None else (agent,),
        since=datetime.combine(since, time.min, UTC),
        offline=offline,
    )
    judged = verdicts.sampled_verdicts(connection, scope)
    every_day = [since + timedelta(days=each) for each in range(days)]
    return QualityFigures(
        agent=agent,
        offline=offline,
        since=since,
        agents=agents,
        days=tuple(_by_day(chosen, every_day)),
        whole=_figures(since, _sum(counts for _, counts in chosen)),
        accuracy=_accuracy(chosen, judged),
        accuracy_by_agent=tuple(_accuracy_by_agent(chosen, judged)),
        calibration=tuple(_bin(each) for each in verdicts.calibration(connection, scope)),
        feedback=tuple(verdicts.feedback_by_day(connection, scope)),
    )


def read_accuracy(
    connection: Connection, *, since: datetime, offline: bool
) -> list[tuple[str, Estimate]]:
    """How often each agent was right for all tenants, by agent, without any other figure."""
    counted = quality.read_days(
        connection, tenant=None, agent=None, since=since.astimezone(UTC).date(), offline=offline
    )
    scope = Scope(
        tenant=None, agents={key.agent for key, _ in counted}, since=since, offline=offline
    )
    return list(_accuracy_by_agent(counted, verdicts.sampled_verdicts(connection, scope)))


def _by_day(counted: Sequence[tuple[DayKey, Counts]], days: Sequence[date]) -> Iterable[DayFigures]:
    sums: dict[date, Counts] = {}
    for key, counts in counted:
        sums.setdefault(key.day, Counts()).add(counts)
    for day in days:
        yield _figures(day, sums.get(day, Counts()))


def _sum(counted: Iterable[Counts]) -> Counts:
    whole = Counts()
    for counts in counted:
        whole.add(counts)
    return whole


def _figures(day: date, counts: Counts) -> DayFigures:
    settled = counts.alone + counts.escalated
    return DayFigures(
        day=day,
        finished=counts.finished,
        alone=counts.alone,
        escalated=counts.escalated,
        escalation=counts.escalated / settled if settled else None,
        p50=percentile(counts.latency, 0.5),
        p95=percentile(counts.latency, 0.95),
        cost_usd=counts.cost_usd,
    )


def _accuracy_by_agent(
    counted: Sequence[tuple[DayKey, Counts]], judged: Sequence[StratumVerdicts]
) -> Iterable[tuple[str, Estimate]]:
    for agent in sorted({key.agent for key, _ in counted}):
        own = [each for each in counted if each[0].agent == agent]
        yield agent, _accuracy(own, [each for each in judged if each.agent == agent])


def _accuracy(
    counted: Sequence[tuple[DayKey, Counts]], judged: Sequence[StratumVerdicts]
) -> Estimate:
    population: Counter[tuple[str, str]] = Counter()
    for key, counts in counted:
        for stratum, number in counts.strata.items():
            population[key.agent, stratum] += number
    seen = {(each.agent, each.stratum): each for each in judged}
    strata = []
    for place in sorted(population.keys() | seen.keys()):
        found = seen.get(place)
        strata.append(
            Judged(
                population=population[place],
                judged=found.judged if found else 0,
                right=found.right if found else 0,
            )
        )
    return estimate(strata)


def _bin(found: BinVerdicts) -> CalibrationBin:
    """Weighted share right; its interval is Wilson's with the effective size of Kish (1965)."""
    lower, upper = found.bin / BINS, (found.bin + 1) / BINS
    stated = found.stated / found.weight
    if found.judged < TOO_FEW:
        return CalibrationBin(lower=lower, upper=upper, judged=found.judged, stated=stated)
    right = min(1.0, found.right / found.weight)
    low, high = wilson(right, found.weight**2 / found.weight_squares)
    return CalibrationBin(
        lower=lower,
        upper=upper,
        judged=found.judged,
        stated=stated,
        right=right,
        low=low,
        high=high,
    )
