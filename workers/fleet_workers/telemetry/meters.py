"""What a process counts and times itself, with unit and labels; served by `exposition`.

A process's own numbers begin at 0 when it starts, as Prometheus expects of a counter. They count
what was written in a transaction, also where that fails in the end. Labels hold names of agents,
tools, models and states, never of tenants or customers, and at most `MOST_NAMES` of each.
"""

from collections.abc import Iterable
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

REGISTRY: Final = CollectorRegistry()
"""All meters of this process; a process has one set of them."""

MOST_NAMES: Final = 500
"""Different values that a label may have; what comes after is counted as `other`."""

OTHER: Final = "other"

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 900, 3600)
_CALL_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
_COMPANY = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)

# A time of birth for each series would double what is stored.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library lacks it
ProcessCollector(registry=REGISTRY)


def _counter(name: str, words: str, *labels: str) -> Counter:
    return Counter(f"fleet_{name}", words, labels, registry=REGISTRY)


def _histogram(name: str, words: str, *labels: str, buckets: Iterable[float]) -> Histogram:
    return Histogram(f"fleet_{name}", words, labels, registry=REGISTRY, buckets=tuple(buckets))


def _gauge(name: str, words: str, *labels: str) -> Gauge:
    return Gauge(f"fleet_{name}", words, labels, registry=REGISTRY)


BUILD = _gauge("build_info", "1, with the version of the fleet that runs.", "version", "role")

TASKS_TAKEN_IN = _counter("tasks_taken_in_total", "Tasks written to the store.", "agent")
RUNS = _counter(
    "task_runs_total",
    "Runs of tasks on workers, by the state in which they left them.",
    "agent",
    "state",
)
TASKS_ENDED = _counter(
    "tasks_ended_total",
    "Tasks that ended, whoever ended them, by their last state.",
    "agent",
    "state",
)
WAIT_SECONDS = _histogram(
    "task_wait_seconds",
    "From when a task could run to its first run, in seconds.",
    "agent",
    buckets=_SECONDS,
)
RUN_SECONDS = _histogram(
    "task_run_seconds",
    "A run of a task on a worker, from claim to its end, in seconds.",
    "agent",
    buckets=_SECONDS,
)
TASK_SECONDS = _histogram(
    "task_seconds",
    "From submission to the end of tasks that no person was asked about, in seconds.",
    "agent",
    buckets=_SECONDS,
)
CONFIDENCE = _histogram(
    "answer_confidence",
    "Confidence in an answer after its checks, 0 to 1.",
    "agent",
    buckets=_SHARES,
)

MODEL_CALLS = _counter(
    "model_calls_total",
    "Questions to a model, by `ok` or the class of what failed.",
    "agent",
    "tier",
    "result",
)
MODEL_CALL_SECONDS = _histogram(
    "model_call_seconds",
    "Questions to a model with fallbacks and batching, in seconds.",
    "tier",
    buckets=_SECONDS,
)
MODEL_REPLIES = _counter(
    "model_replies_total",
    "Replies by their source: a call, a batch, a cache.",
    "agent",
    "model",
    "tier",
    "source",
)
MODEL_TOKENS = _counter(
    "model_tokens_total",
    "Tokens; `cached` are those of `input` from a prefix cache.",
    "agent",
    "model",
    "kind",
)
MODEL_COST_USD = _counter(
    "model_cost_usd_total", "What model calls cost, in US dollars.", "agent", "model"
)
MODEL_SAVED_USD = _counter(
    "model_saved_usd_total",
    "What stored and shared replies saved, in US dollars.",
    "agent",
    "source",
)
MODEL_UNPRICED = _counter(
    "model_unpriced_total", "Replies of models whose price is not known.", "agent", "model"
)
BATCH_SIZE = _histogram(
    "model_batch_size", "Requests that shared one call, in number.", buckets=_COMPANY
)

TOOL_CALLS = _counter(
    "tool_calls_total",
    "Calls of tools, by `ok` or the class of what failed.",
    "agent",
    "tool",
    "result",
)
TOOL_CALL_SECONDS = _histogram(
    "tool_call_seconds",
    "Calls of tools with retries of short blips, in seconds.",
    "tool",
    buckets=_CALL_SECONDS,
)

JOURNAL_STEPS = _counter("journal_steps_total", "Steps added to journals.", "kind")
JOURNAL_WRITES = _counter("journal_writes_total", "Statements that wrote to journals.")
JOURNAL_BYTES = _counter(
    "journal_written_bytes_total", "Requests and results written to journals, in bytes of JSON."
)

SLOTS = _gauge("worker_slots", "Tasks that this worker process works on at once, at most.")
LEASES_HELD = _gauge("leases_held", "Tasks that this worker process holds.")
LEASES_LOST = _counter("leases_lost_total", "Tasks that this worker lost while it held them.")
RENEWALS_FAILED = _counter(
    "lease_renewals_failed_total", "Times that leases could not be renewed, as the store was away."
)

DEAD_LETTERS = _counter("dead_letters_written_total", "Dead letters, by their reason.", "reason")
INTAKE_REFUSED = _counter(
    "intake_refused_total", "Messages of the intake that were no task, by the reason.", "reason"
)
REVIEWS_OPENED = _counter("reviews_opened_total", "Items put before people.", "agent", "kind")
REVIEWS_DECIDED = _counter(
    "reviews_decided_total", "Items that people decided.", "agent", "kind", "ruling"
)
LETTERS = _counter(
    "outbox_letters_total", "Messages of the outbox, by `sent` or `failed`.", "result"
)
DELIVERIES = _counter(
    "deliveries_total",
    "Webhooks and mails, by `taken`, `failed` (tried again) or `given_up`.",
    "channel",
    "result",
)
FEEDBACK = _counter(
    "feedback_total",
    "What was said about answers: `good`, `bad`, or `none` without a rating.",
    "agent",
    "rating",
)

CHORE_SECONDS = _histogram(
    "janitor_chore_seconds", "A janitor's chores, in seconds.", "chore", buckets=_CALL_SECONDS
)
CHORES_FAILED = _counter("janitor_chores_failed_total", "Chores that failed.", "chore")
CHORE_THINGS = _counter("janitor_things_total", "Rows and messages that chores touched.", "chore")

HTTP_REQUESTS = _counter(
    "http_requests_total", "Requests to the web process.", "method", "route", "status"
)
HTTP_SECONDS = _histogram(
    "http_request_seconds",
    "Requests to the web process, in seconds.",
    "route",
    buckets=_CALL_SECONDS,
)

_known: dict[str, set[str]] = {}


def bounded(kind: str, value: str | None) -> str:
    """A label's value, or `other` once there are `MOST_NAMES` of this kind.

    What others send, or an endpoint calls its model, must not fill the memory of whoever scrapes.
    """
    name = value or "none"
    known = _known.setdefault(kind, set())
    if name not in known:
        if len(known) >= MOST_NAMES:
            return OTHER
        known.add(name)
    return name
