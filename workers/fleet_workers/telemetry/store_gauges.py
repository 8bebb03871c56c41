"""What the web process tells of the store, the broker and Redis: name, words and labels of each.

They are about the whole fleet, so each web process tells the same: take `max by (…)`, no sum. The
names that end in `_total` count from the first of the month (UTC), which Prometheus sees as it sees
a restart.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

Samples = Sequence[tuple[tuple[str, ...], float]]
"""Values of a metric by the values of its labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreGauge:
    """How a metric is told; `fleet_` stands before its name. `unit` is in its name or words."""

    words: str
    labels: tuple[str, ...] = ()


def _told(words: str, *labels: str) -> StoreGauge:
    return StoreGauge(words=words, labels=labels)


STORE_GAUGES: Final[Mapping[str, StoreGauge]] = {
    "tasks": _told("Tasks that have not ended, in number.", "agent", "state"),
    "queue_depth": _told("Tasks that a worker could take now, in number.", "agent"),
    "queue_oldest_seconds": _told(
        "How long the first task of a queue has waited, in seconds; 0 where none waits.", "agent"
    ),
    "queue_put_off": _told("Tasks that wait for their time, in number.", "agent"),
    "pool_processes": _told("Worker processes that serve an agent, in number.", "agent"),
    "pool_slots": _told(
        "Tasks that an agent's processes work on at once, at most, in number.", "agent"
    ),
    "pool_busy_slots": _told("Slots of an agent's processes that work, in number.", "agent"),
    "pools_unnamed": _told(
        "Worker processes that serve more agents than they could tell of, in number."
    ),
    "broker_messages": _told("Messages that wait on the broker, in number.", "queue"),
    "pauses": _told("Pauses of agents and tenants, in number."),
    "reviews_waiting": _told("Items that nobody has decided, in number."),
    "reviews_overdue": _told("Items that nobody has decided in their time, in number."),
    "reviews_oldest_seconds": _told("How long the first item has waited for a person, in seconds."),
    "reviews_waiting_by_agent": _told("Items that nobody has decided, in number.", "agent"),
    "reviews_overdue_by_agent": _told(
        "Items that nobody has decided in their time, in number.", "agent"
    ),
    "dead_letters": _told("Dead letters neither replayed nor discarded, in number."),
    "dead_letters_by_reason": _told("Open dead letters by reason, the 50 most frequent.", "reason"),
    "outbox_waiting": _told("Messages that the broker has not confirmed yet, in number."),
    "outbox_oldest_seconds": _told(
        "How long the first message of the outbox has waited, in seconds."
    ),
    "deliveries_waiting": _told("Webhooks and mails that nobody has taken yet, in number."),
    "deliveries_given_up": _told(
        "Webhooks and mails of the last 30 days that nobody has taken, in number."
    ),
    "batch_requests": _told("Questions filed for a provider's Batch API, in number.", "state"),
    "breaker_open": _told(
        "1 for a breaker that keeps calls away, else 0; those that failed today.", "breaker"
    ),
    "budget_spent_ratio": _told(
        "What is spent today (UTC) of an agent's limit, 0 to 1; of limits of a tenant the fullest.",
        "agent",
        "limit",
    ),
    "finished_tasks_total": _told("Tasks that ended this month, however.", "agent", "model"),
    "automated_tasks_total": _told(
        "Tasks of this month that an agent ended without a person.", "agent", "model"
    ),
    "escalated_tasks_total": _told(
        "Tasks of this month that an agent put before a person.", "agent", "model"
    ),
    "finished_cost_usd_total": _told(
        "What the models of finished tasks cost this month, in US dollars.", "agent", "model"
    ),
    "saved_hours_total": _told(
        "Hours of people's work saved this month: automated tasks by FLEET_MINUTES_SAVED.",
        "agent",
        "model",
    ),
    "accuracy_ratio": _told(
        "Share of tasks ended alone that was right, 0 to 1, from samples of 30 days.",
        "agent",
        "model",
    ),
    "accuracy_low_ratio": _told(
        "Lower end of the 95 % interval of the accuracy, 0 to 1.", "agent", "model"
    ),
    "accuracy_high_ratio": _told(
        "Upper end of the 95 % interval of the accuracy, 0 to 1.", "agent", "model"
    ),
    "accuracy_judged": _told("Samples that people judged, in number.", "agent", "model"),
    "feedback_week": _told(
        "What was said about answers in the last 7 days: good, bad, flagged; in number.",
        "agent",
        "said",
    ),
}


def gauge_families(figures: Mapping[str, Samples]) -> Iterable[Metric]:
    """The metrics of `STORE_GAUGES` for which there are figures."""
    for name, gauge in STORE_GAUGES.items():
        if name not in figures:
            continue
        family: GaugeMetricFamily | CounterMetricFamily
        if name.endswith("_total"):
            family = CounterMetricFamily(f"fleet_{name}", gauge.words, labels=gauge.labels)
        else:
            family = GaugeMetricFamily(f"fleet_{name}", gauge.words, labels=gauge.labels)
        for values, number in figures[name]:
            family.add_metric(values, number)
        yield family
