"""The page of quality: how often agents are right or ask for help, how long they take, the cost.

Every chart has its figures in a table beneath.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from markupsafe import Markup

from fleet_workers.review.accuracy import TOO_FEW
from fleet_workers.review.quality import PERIODS, QualityFigures, read_quality
from fleet_workers.store.accounts import KeyHolder
from fleet_workers.web.console.charts import (
    Interval,
    Line,
    Words,
    draw_bars,
    draw_calibration,
    draw_intervals,
    draw_lines,
    percent,
)
from fleet_workers.web.console.rendering import page
from fleet_workers.web.console.sessions import Visitor
from fleet_workers.web.resources import Resources, WebResources

router = APIRouter(prefix="/console/quality")

_USUAL_PERIOD = 30
_MOST_BARS = 31


@router.get("")
def show_quality(
    request: Request,
    resources: Resources,
    holder: Visitor,
    agent: Annotated[str, Query(max_length=100)] = "",
    days: Annotated[int, Query()] = _USUAL_PERIOD,
) -> Response:
    """Figures of all agents or one, over the last days."""
    period = days if days in PERIODS else _USUAL_PERIOD
    figures = _read(resources, holder, agent=agent or None, days=period)
    return page(
        request,
        "quality.html",
        holder=holder,
        figures=figures,
        period=period,
        periods=PERIODS,
        too_few=TOO_FEW,
        charts=_charts(figures),
        percent=percent,
    )


def _read(
    resources: WebResources, holder: KeyHolder, *, agent: str | None, days: int
) -> QualityFigures:
    """The figures that count; only where there are none, those of the built-in offline model."""
    now = datetime.now(UTC)
    with resources.transaction() as connection:
        figures = read_quality(connection, tenant=holder.sees, agent=agent, days=days, now=now)
        if figures.agents:
            return figures
        offline = read_quality(
            connection, tenant=holder.sees, agent=agent, days=days, now=now, offline=True
        )
    return offline if offline.agents else figures


def _charts(figures: QualityFigures) -> dict[str, Markup]:
    """By name, those for which there is something to draw."""
    labels = [_short(each.day) for each in figures.days]
    drawn: dict[str, Markup] = {}
    if figures.whole.escalation is not None:
        rates = [each.escalation for each in figures.days]
        drawn["escalation"] = draw_lines(
            "Share of tasks put before a person, by day",
            labels,
            [Line(name="escalated", values=rates)],
            words=percent,
            top=1,
        )
    if figures.whole.p50 is not None:
        drawn["latency"] = draw_lines(
            "Time from request to answer, by day",
            labels,
            [
                Line(name="half of them within", values=_seconds([d.p50 for d in figures.days])),
                Line(name="95 % within", values=_seconds([d.p95 for d in figures.days])),
            ],
            words=_seconds_words,
            top=None,
        )
    if figures.whole.cost_usd:
        costs = [float(each.cost_usd) for each in figures.days]
        drawn["cost"] = _draw_sums("Cost of model calls", figures, {"cost": costs}, words=_dollars)
    return drawn | _charts_of_verdicts(figures)


def _charts_of_verdicts(figures: QualityFigures) -> dict[str, Markup]:
    drawn: dict[str, Markup] = {}
    known = [
        Interval(name=agent, share=found.share, low=found.low, high=found.high)
        for agent, found in figures.accuracy_by_agent
        if found.share is not None and found.low is not None and found.high is not None
    ]
    if known:
        drawn["accuracy"] = draw_intervals("Share of answers that were right, by agent", known)
    points = [(each.stated, each.right) for each in figures.calibration if each.right is not None]
    if points:
        drawn["calibration"] = draw_calibration("Share right, by stated confidence", points)
    if figures.feedback:
        said = {each.day: each for each in figures.feedback}
        found = [said.get(each.day) for each in figures.days]
        sums: dict[str, list[float]] = {
            "good": [each.good if each else 0 for each in found],
            "not good": [each.bad if each else 0 for each in found],
        }
        drawn["feedback"] = _draw_sums("Feedback", figures, sums, words=lambda value: f"{value:g}")
    return drawn


def _draw_sums(
    title: str, figures: QualityFigures, sums: Mapping[str, Sequence[float]], *, words: Words
) -> Markup:
    """Sums by day; over a long time by week, for more bars cannot be told apart on a phone."""
    step = 1 if len(figures.days) <= _MOST_BARS else 7
    starts = range(0, len(figures.days), step)
    return draw_bars(
        f"{title}, by {'day' if step == 1 else 'week'}",
        [_short(figures.days[start].day) for start in starts],
        [
            Line(name=name, values=[sum(values[start : start + step]) for start in starts])
            for name, values in sums.items()
        ],
        words=words,
    )


def _short(day: date) -> str:
    return f"{day.day} {day:%b}"


def _seconds(spans: Sequence[timedelta | None]) -> list[float | None]:
    return [None if span is None else span.total_seconds() for span in spans]


def _seconds_words(value: float) -> str:
    return f"{value:.3g} s"


def _dollars(value: float) -> str:
    return f"${value:,.2f}" if value >= 1 or value == 0 else f"${value:.2g}"
