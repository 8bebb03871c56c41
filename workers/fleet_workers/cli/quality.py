"""`fleetctl quality`: how often agents are right, ask for help, how long they take, the cost."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.markup import escape

from fleet_contracts.errors import InvalidInput
from fleet_workers.cli.terminal import console, new_table, require_tenant, store_transaction
from fleet_workers.review.accuracy import TOO_FEW, Estimate
from fleet_workers.review.quality import PERIODS, CalibrationBin, QualityFigures, read_quality
from fleet_workers.store.spend import as_usd

_NONE = "-"


def show_quality(
    tenant: Annotated[str | None, typer.Option(help="Only of this tenant.")] = None,
    agent: Annotated[str | None, typer.Option(help="Only of this agent.")] = None,
    days: Annotated[int, typer.Option(help="7, 30 or 90, today included.")] = 30,
    offline: Annotated[bool, typer.Option(help="Of the built-in offline model.")] = False,
) -> None:
    """Print the figures of the console's quality page. Days are those of UTC.

    Shares are followed by where the true one lies, 95 % sure.
    """
    if days not in PERIODS:
        raise InvalidInput(f"Figures are kept for {_listed(PERIODS)} days: choose one of them.")
    with store_transaction() as connection:
        if tenant is not None:
            require_tenant(connection, tenant)
        figures = read_quality(
            connection,
            tenant=tenant,
            agent=agent,
            days=days,
            now=datetime.now(UTC),
            offline=offline,
        )
    _print_days(figures)
    _print_accuracy(figures)
    _print_calibration(figures.calibration)
    _print_feedback(figures)
    if not figures.agents and not offline:
        console.print("Nothing has ended in this time. With --offline: the offline model's tasks.")


def _print_days(figures: QualityFigures) -> None:
    table = new_table("day")
    for name in ("ended", "alone", "escalated", "share", "half within", "95 % within", "cost"):
        table.add_column(name, justify="right")
    for each in (*figures.days, figures.whole):
        if not each.finished and not each.escalated:
            continue
        table.add_row(
            "all" if each is figures.whole else each.day.isoformat(),
            str(each.finished),
            str(each.alone),
            str(each.escalated),
            _percent(each.escalation),
            _seconds(each.p50),
            _seconds(each.p95),
            as_usd(each.cost_usd),
        )
    console.print(table)


def _print_accuracy(figures: QualityFigures) -> None:
    table = new_table("agent")
    for name in ("judged", "right", "share right"):
        table.add_column(name, justify="right")
    for name, found in (*figures.accuracy_by_agent, ("all", figures.accuracy)):
        table.add_row(escape(name), str(found.judged), str(found.right), _share(found))
    console.print(table)


def _print_calibration(bins: tuple[CalibrationBin, ...]) -> None:
    table = new_table("confidence")
    for name in ("judged", "stated", "share right"):
        table.add_column(name, justify="right")
    for each in bins:
        range_of = f"{each.lower:.0%} to {each.upper:.0%}"
        table.add_row(range_of, str(each.judged), _percent(each.stated), _share(each))
    console.print(table)


def _print_feedback(figures: QualityFigures) -> None:
    good, bad, flagged = (
        sum(getattr(each, name) for each in figures.feedback) for name in ("good", "bad", "flagged")
    )
    console.print(f"feedback: {good} good, {bad} not good, {flagged} flagged")


def _share(found: Estimate | CalibrationBin) -> str:
    share = found.share if isinstance(found, Estimate) else found.right
    if share is None or found.low is None or found.high is None:
        return f"too few (under {TOO_FEW})"
    return f"{share:.1%} ({found.low:.1%} to {found.high:.1%})"


def _percent(share: float | None) -> str:
    return _NONE if share is None else f"{share:.1%}"


def _seconds(span: timedelta | None) -> str:
    return _NONE if span is None else f"{span.total_seconds():.3g} s"


def _listed(periods: tuple[int, ...]) -> str:
    return ", ".join(map(str, periods[:-1])) + f" or {periods[-1]}"
