"""Counts what happens in a process, in the words of those who call it."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from fleet_contracts.errors import FleetError
from fleet_workers.telemetry import meters
from fleet_workers.telemetry.meters import bounded

OK: Final = "ok"
_UNKNOWN: Final = "internal_error"


def count_taken_in(agent: str) -> None:
    """A task was written to the store."""
    _child(meters.TASKS_TAKEN_IN, agent).inc()


def count_ended(agent: str, state: str, number: int = 1) -> None:
    """Tasks of an agent have ended."""
    _child(meters.TASKS_ENDED, agent, state).inc(number)


def count_run(agent: str, state: str) -> None:
    """A worker's run of a task left it in a state."""
    _child(meters.RUNS, agent, state).inc()


def count_refused(reason: str, number: int = 1) -> None:
    """Messages of the intake were no tasks; 0 lets the series begin, so that a first one shows."""
    _child(meters.INTAKE_REFUSED, reason).inc(number)


def observe_run(agent: str, seconds: float) -> None:
    """A worker let a task go after it had held it for so long."""
    _child(meters.RUN_SECONDS, agent).observe(max(0.0, seconds))


def observe_wait(agent: str, seconds: float) -> None:
    """A task began to run for the first time after so long."""
    _child(meters.WAIT_SECONDS, agent).observe(max(0.0, seconds))


def observe_whole(agent: str, seconds: float) -> None:
    """A task that no person was asked about ended so long after it was submitted."""
    _child(meters.TASK_SECONDS, agent).observe(max(0.0, seconds))


def observe_confidence(agent: str, confidence: float | None) -> None:
    """An answer was made with this confidence; None counts nowhere."""
    if confidence is not None:
        _child(meters.CONFIDENCE, agent).observe(confidence)


def count_reply(
    *,
    agent: str,
    model: str,
    tier: str,
    source: str,
    tokens: Mapping[str, int],
    cost_usd: Decimal | None,
    saved_usd: Decimal,
) -> None:
    """A model answered, or something stood in for it; `tokens` by kind: input, cached, output."""
    _child(meters.MODEL_REPLIES, agent, model, tier, source).inc()
    for kind, number in tokens.items():
        _child(meters.MODEL_TOKENS, agent, model, kind).inc(max(0, number))
    if cost_usd is None:
        _child(meters.MODEL_UNPRICED, agent, model).inc()
    else:
        _child(meters.MODEL_COST_USD, agent, model).inc(max(0.0, float(cost_usd)))
    if saved_usd > 0:
        _child(meters.MODEL_SAVED_USD, agent, source).inc(float(saved_usd))


@contextmanager
def timed_model_call(agent: str, tier: str) -> Iterator[None]:
    """Count and time a question to a model, by the code of what it raises."""
    with _timed(meters.MODEL_CALLS, meters.MODEL_CALL_SECONDS, agent, tier):
        yield


@contextmanager
def timed_tool_call(agent: str, tool: str) -> Iterator[None]:
    """Count and time a call of a tool, by the code of what it raises."""
    with _timed(meters.TOOL_CALLS, meters.TOOL_CALL_SECONDS, agent, tool):
        yield


@contextmanager
def _timed(calls: Any, seconds: Any, agent: str, what: str) -> Iterator[None]:
    result, begun = _UNKNOWN, time.monotonic()
    try:
        yield
        result = OK
    except FleetError as error:
        result = error.code
        raise
    finally:
        _child(calls, agent, what, result).inc()
        _child(seconds, what).observe(time.monotonic() - begun)


def count_journal(kinds: Sequence[str], written_bytes: int) -> None:
    """A statement wrote steps of these kinds, and so many bytes of JSON."""
    meters.JOURNAL_WRITES.inc()
    meters.JOURNAL_BYTES.inc(written_bytes)
    for kind in kinds:
        _child(meters.JOURNAL_STEPS, kind).inc()


@lru_cache(maxsize=8192)
def _child(meter: Any, *values: str) -> Any:
    """The meter with its labels, kept: the library finds it anew each time, under a lock."""
    names = [
        bounded(name, value)
        for name, value in zip(meter._labelnames, values, strict=True)  # noqa: SLF001 the library tells them nowhere else
    ]
    return meter.labels(*names)
