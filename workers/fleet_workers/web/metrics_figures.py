"""Reads what `/metrics` tells of the whole fleet."""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Final

import pybreaker
from sqlalchemy import Connection

from fleet_contracts.envelope import AUTO_AGENT
from fleet_workers.agents import AgentRelease
from fleet_workers.resilience.breaker_records import Record
from fleet_workers.review.quality import read_accuracy
from fleet_workers.store import deliveries, fleet_figures, pauses
from fleet_workers.store.pools import Pool, load_by_agent, pools, workers_alive
from fleet_workers.store.spend import agent_total
from fleet_workers.telemetry.store_gauges import Samples

_JUDGED: Final = timedelta(days=30)
_SAID: Final = timedelta(days=7)
_REAL, _OFFLINE = "real", "offline"


def read_now(connection: Connection, agents: Iterable[str]) -> dict[str, Samples]:
    """What is open at this moment; a few milliseconds, whatever is finished."""
    now = datetime.now(UTC)
    workers = workers_alive(connection)
    standing = pools(load_by_agent(connection, tenant=None), workers, {*agents, AUTO_AGENT})
    waiting = fleet_figures.waiting_reviews(connection)
    letters = fleet_figures.open_dead_letters(connection)
    outbox_waiting, outbox_oldest = fleet_figures.outbox_age(connection)
    by_agent = [((each.agent,), each) for each in standing]
    return {
        "tasks": [sample for each in standing for sample in _states(each)],
        "queue_depth": [(key, each.load.queued) for key, each in by_agent],
        "queue_oldest_seconds": [(key, each.oldest_seconds(now)) for key, each in by_agent],
        "queue_put_off": [(key, each.load.put_off) for key, each in by_agent],
        "pool_processes": [(key, each.processes) for key, each in by_agent],
        "pool_slots": [(key, each.slots) for key, each in by_agent],
        "pool_busy_slots": [(key, each.busy_slots) for key, each in by_agent],
        "pools_unnamed": _one(sum(not each.is_whole for each in workers)),
        "pauses": _one(len(pauses.all_pauses(connection))),
        "reviews_waiting": _one(sum(each.waiting for each in waiting.values())),
        "reviews_overdue": _one(sum(each.overdue for each in waiting.values())),
        "reviews_oldest_seconds": _one(
            max((each.oldest_seconds for each in waiting.values()), default=0)
        ),
        "reviews_waiting_by_agent": [((name,), each.waiting) for name, each in waiting.items()],
        "reviews_overdue_by_agent": [((name,), each.overdue) for name, each in waiting.items()],
        "dead_letters": _one(sum(letters.values())),
        "dead_letters_by_reason": [((reason,), number) for reason, number in letters.items()],
        "outbox_waiting": _one(outbox_waiting),
        "outbox_oldest_seconds": _one(outbox_oldest),
        "deliveries_waiting": _one(deliveries.count_open(connection)),
        "deliveries_given_up": _one(deliveries.count_given_up(connection)),
        "batch_requests": [
            ((state,), number) for state, number in fleet_figures.bulk_states(connection).items()
        ],
    }


def read_lately(
    connection: Connection, agents: Iterable[AgentRelease], minutes_saved: Mapping[str, float]
) -> dict[str, Samples]:
    """What is counted over days: it changes slowly, and is read once a minute at most."""
    now = datetime.now(UTC)
    return {
        **_business(connection, now.date().replace(day=1), minutes_saved),
        **_accuracy(connection, now),
        "feedback_week": list(fleet_figures.feedback_since(connection, now - _SAID).items()),
        "budget_spent_ratio": _budgets(connection, list(agents)),
    }


def breaker_samples(records: Mapping[str, Record]) -> Samples:
    """Whether each breaker that failed today keeps calls away."""
    return [
        ((name,), float(record.state != pybreaker.STATE_CLOSED))
        for name, record in sorted(records.items())
    ]


def _states(pool: Pool) -> Samples:
    load = pool.load
    counts = {
        "queued": load.queued + load.put_off,
        "running": load.running,
        "retrying": load.retrying,
        "in_review": load.in_review,
    }
    return [((load.agent, state), number) for state, number in counts.items()]


def _business(
    connection: Connection, since: date, minutes_saved: Mapping[str, float]
) -> dict[str, Samples]:
    counted = fleet_figures.month_counts(connection, since)
    found = {
        (agent, _model(offline)): (each, minutes_saved.get(agent, minutes_saved.get("*", 0.0)))
        for (agent, offline), each in counted.items()
    }
    return {
        "finished_tasks_total": [(key, each.finished) for key, (each, _) in found.items()],
        "automated_tasks_total": [(key, each.alone) for key, (each, _) in found.items()],
        "escalated_tasks_total": [(key, each.escalated) for key, (each, _) in found.items()],
        "finished_cost_usd_total": [(key, each.cost_usd) for key, (each, _) in found.items()],
        "saved_hours_total": [
            (key, each.alone * minutes / 60) for key, (each, minutes) in found.items()
        ],
    }


def _accuracy(connection: Connection, now: datetime) -> dict[str, Samples]:
    ratios: dict[str, list[tuple[tuple[str, ...], float]]] = {
        name: []
        for name in (
            "accuracy_ratio",
            "accuracy_low_ratio",
            "accuracy_high_ratio",
            "accuracy_judged",
        )
    }
    for offline in (False, True):
        for agent, found in read_accuracy(connection, since=now - _JUDGED, offline=offline):
            key = (agent, _model(offline))
            ratios["accuracy_judged"].append((key, found.judged))
            for name, value in (
                ("accuracy_ratio", found.share),
                ("accuracy_low_ratio", found.low),
                ("accuracy_high_ratio", found.high),
            ):
                if value is not None:
                    ratios[name].append((key, value))
    return dict(ratios)


def _budgets(connection: Connection, releases: list[AgentRelease]) -> Samples:
    """The fullest total of each limit by day that an agent's file sets, customers' left out."""
    tenants = fleet_figures.tenant_subjects(connection)
    wanted: list[tuple[str, str, Decimal, list[tuple[str, str]]]] = []
    for release in releases:
        name, limits = release.name, release.manifest.spend
        every = [(tenant, subject) for tenant, subject in tenants.items()]
        whole = [("cost", subject) for _, subject in every]
        moved = [("moved", subject) for _, subject in every]
        own = [("cost", agent_total(name, tenant)) for tenant, _ in every]
        for limit, most_usd, subjects in (
            ("cost_per_agent_day", limits.cost_per_agent_day, [("cost", agent_total(name))]),
            ("cost_per_tenant_day", limits.cost_per_tenant_day, whole),
            ("cost_per_tenant_agent_day", limits.cost_per_tenant_agent_day, own),
            ("moved_per_tenant_day", limits.moved_per_tenant_day, moved),
        ):
            if most_usd:
                wanted.append((name, limit, most_usd, subjects))
    asked = {subject for *_, subjects in wanted for subject in subjects}
    spent = fleet_figures.spent_today(connection, sorted(asked))
    return [
        (
            (name, limit),
            float(max((spent.get(each, Decimal(0)) for each in subjects), default=0) / most_usd),
        )
        for name, limit, most_usd, subjects in wanted
    ]


def _one(number: float) -> Samples:
    return [((), number)]


def _model(offline: bool) -> str:
    return _OFFLINE if offline else _REAL
