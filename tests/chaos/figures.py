"""The figures of a run, one a line, and the findings behind them."""

import math
from collections.abc import Iterator, Sequence

from chaos.campaign import Report


def figures(reports: Sequence[Report]) -> Iterator[str]:
    """Lines `name: value unit` over all stacks."""
    waits = sorted(wait for report in reports for wait in report.takeover_seconds)
    yield f"chaos.kills: {kills(reports)} workers"
    yield f"chaos.tasks: {sum(each.tasks for each in reports)} tasks"
    yield f"chaos.lost: {sum(len(each.verdict.lost) for each in reports)} tasks"
    yield (
        f"chaos.duplicate_effects: {sum(len(each.verdict.duplicates) for each in reports)} effects"
    )
    yield f"chaos.missing_effects: {sum(len(each.verdict.missing) for each in reports)} effects"
    yield f"chaos.session_disorders: {sum(len(each.verdict.disorders) for each in reports)} tasks"
    repeated = [each.repeated for each in reports]
    yield f"chaos.paid_model_calls_repeated: {sum(each.answered for each in repeated)} calls"
    recorded = sum(len(each.recorded) for each in repeated)
    yield f"chaos.recorded_model_calls_repeated: {recorded} calls"
    yield f"chaos.model_calls_cut_off: {sum(each.cut_off for each in repeated)} calls"
    yield f"chaos.late_writes: {sum(len(each.late_writes) for each in reports)} requests"
    yield f"chaos.takeover_p50_seconds: {quantile(waits, 0.5):.1f} s"
    yield f"chaos.takeover_p95_seconds: {quantile(waits, 0.95):.1f} s"
    yield f"chaos.takeovers: {len(waits)} tasks"
    yield f"chaos.stalls: {sum(each.stalls for each in reports)} workers"
    yield f"chaos.poison_deaths: {sum(each.poison_deaths for each in reports)} processes"
    yield f"chaos.copied_messages: {sum(each.copies for each in reports)} messages"
    yield f"chaos.reviews_decided: {sum(each.decisions for each in reports)} reviews"
    yield f"chaos.disturbances: {sum(sum(each.disturbances.values()) for each in reports)} outages"
    yield f"chaos.workers_self_ended: {sum(each.self_ended for each in reports)} workers"
    for report in reports:
        yield f"chaos.{report.stack}.kills: {kills([report])} workers"
        yield f"chaos.{report.stack}.seconds: {report.seconds:.0f} s"
        for point, count in report.kills.items():
            yield f"chaos.{report.stack}.kills.{point}: {count} workers"


def kills(reports: Sequence[Report]) -> int:
    """Workers killed at points that were chosen."""
    return sum(sum(report.kills.values()) for report in reports)


def findings(report: Report) -> list[str]:
    """What must not be, one sentence each; empty where the run was clean."""
    verdict = report.verdict
    return [
        f"{report.stack}: {what}: {words}"
        for what, every in (
            ("lost", verdict.lost),
            ("done twice", verdict.duplicates),
            ("not done", verdict.missing),
            ("out of order in its session", verdict.disorders),
            ("model asked again for a recorded reply", report.repeated.recorded),
            ("written by a worker that had lost the task", report.late_writes),
            ("trouble", report.trouble),
        )
        for words in every
    ]


def quantile(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank quantile of ordered values; NaN of none."""
    return ordered[math.ceil(share * len(ordered)) - 1] if ordered else math.nan
