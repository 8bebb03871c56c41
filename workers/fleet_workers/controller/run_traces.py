"""The spans of a task's runs: one trace a task, through retries, reviews, crashes and replays.

The trace is that of the task's `traceparent`. A task that came without one gets it from its first
run, whose span is then the trace's root.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Engine

from fleet_contracts.envelope import TaskEnvelope
from fleet_contracts.errors import Unavailable
from fleet_contracts.outcome import OutcomeKind
from fleet_contracts.topology import agent_address
from fleet_workers.controller.decision import Finish, Park, Reroute
from fleet_workers.review.binding import is_decision
from fleet_workers.store import run_traces as stored
from fleet_workers.store.claims import Claim
from fleet_workers.store.engine import store_errors
from fleet_workers.store.journal import Step, StepKind
from fleet_workers.store.run_traces import LostRun
from fleet_workers.telemetry import span_names as names
from fleet_workers.telemetry import traces
from fleet_workers.telemetry.trace_context import (
    TraceContext,
    new_trace_id,
    parse_traceparent,
    run_span_id,
)
from fleet_workers.telemetry.traces import NO_SPAN, Attributes, Span

_FIRST_EPOCH: Final = 1
_LOST: Final = "worker_lost"
_AFTER: Final = {
    StepKind.REVIEW: "review",
    StepKind.FAILURE: "retry",
    StepKind.TRIAGE: "reroute",
}
_INTERRUPTED: Final = "interruption"


def trace_for_new(task_id: UUID) -> str | None:
    """The trace context of a task that came without one; None while traces are off."""
    return _begin_trace(task_id, _FIRST_EPOCH)


def with_trace(engine: Engine, claim: Claim) -> Claim:
    """The claim with a trace: a task that came without one gets it now.

    Where the store is away, a later run will begin another.
    """
    if claim.traceparent is not None or traces.live() is None:
        return claim
    trace = _begin_trace(claim.task_id, claim.epoch)
    with suppress(Unavailable), store_errors(), engine.begin() as connection:
        stored.begin_trace(connection, claim.task_id, claim.epoch, str(trace))
    return replace(claim, traceparent=trace)


def process_span(claim: Claim, envelope: TaskEnvelope, *, began: datetime) -> Span:
    """The span of a message that is worked on, from its arrival to the end of the run."""
    found = _own_trace(claim)
    if found is None:
        return NO_SPAN
    trace, tracing = found
    is_root = trace.span_id == run_span_id(claim.task_id, claim.epoch, names.PROCESS)
    return traces.span(
        f"{names.PROCESS} {agent_address(claim.agent)}",
        kind="consumer",
        attributes=_message(claim, envelope, tracing),
        parent=None if is_root else str(trace),
        is_root=is_root,
        trace_id=trace.trace_id if is_root else None,
        span_id=run_span_id(claim.task_id, claim.epoch, names.PROCESS),
        began=began,
    )


def agent_span(
    claim: Claim, envelope: TaskEnvelope, steps: Sequence[Step], *, release: str | None
) -> Span:
    """The span of the agent's work in one run; linked to the run before, told what came between."""
    found = _own_trace(claim)
    if found is None:
        return NO_SPAN
    trace, _ = found
    own = traces.current().traceparent
    process = trace.at(run_span_id(claim.task_id, claim.epoch, names.PROCESS))
    earlier = max((step.epoch for step in steps if step.epoch < claim.epoch), default=0)
    _tell_wait(trace, steps)
    linked = trace.at(run_span_id(claim.task_id, earlier, names.INVOKE_AGENT))
    return traces.span(
        f"{names.INVOKE_AGENT} {claim.agent}",
        attributes={
            names.OPERATION: names.INVOKE_AGENT,
            names.AGENT_NAME: claim.agent,
            **({names.AGENT_VERSION: release} if release else {}),
            **({names.CONVERSATION_ID: envelope.session_id} if envelope.session_id else {}),
            **_task(claim.task_id, envelope.tenant, claim.epoch),
            **({names.LINK_REASON: _reason(steps)} if earlier else {}),
        },
        # A task that has a process of its own is worked on where its message's span is not known.
        parent=None if own is not None else str(process),
        links=[str(linked)] if earlier else (),
        span_id=run_span_id(claim.task_id, claim.epoch, names.INVOKE_AGENT),
    )


def note_decision(span: Span, decision: Finish | Park | Reroute) -> None:
    """Say on the span of an agent's work what it came to."""
    match decision:
        case Finish():
            told: Attributes = {names.OUTCOME: str(decision.outcome.kind)}
        case Park():
            told = {
                names.OUTCOME: str(OutcomeKind.REVIEW),
                names.REVIEW_KIND: str(decision.kind),
            }
        case Reroute():
            told = {names.OUTCOME: "rerouted", names.REROUTED_TO: decision.agent}
    span.set(told)


def tell_lost_runs(lost: Sequence[LostRun]) -> None:
    """End the spans of runs whose worker is gone, so that what they held is part of the trace."""
    for run in lost:
        trace = parse_traceparent(run.traceparent)
        if trace is None:
            continue
        process_id = run_span_id(run.task_id, run.epoch, names.PROCESS)
        is_root = trace.span_id == process_id
        traces.emit(
            f"{names.PROCESS} {agent_address(run.agent)}",
            kind="consumer",
            attributes=_task(run.task_id, run.tenant, run.epoch),
            parent=None if is_root else str(trace),
            is_root=is_root,
            trace_id=trace.trace_id if is_root else None,
            span_id=process_id,
            began=run.began,
            error_type=_LOST,
        )
        _tell_lost_agent(trace, run)


def tell_lost_agent(claim: Claim, envelope: TaskEnvelope, *, began: datetime) -> None:
    """As `tell_lost_runs`, for a task whose own process died: its message's span is alive."""
    if found := _own_trace(claim):
        run = LostRun(
            task_id=claim.task_id,
            tenant=envelope.tenant,
            agent=claim.agent,
            epoch=claim.epoch,
            traceparent=str(found[0]),
            began=began,
        )
        _tell_lost_agent(found[0], run)


def _tell_lost_agent(trace: TraceContext, run: LostRun) -> None:
    traces.emit(
        f"{names.INVOKE_AGENT} {run.agent}",
        attributes={
            names.OPERATION: names.INVOKE_AGENT,
            names.AGENT_NAME: run.agent,
            **_task(run.task_id, run.tenant, run.epoch),
        },
        parent=str(trace.at(run_span_id(run.task_id, run.epoch, names.PROCESS))),
        span_id=run_span_id(run.task_id, run.epoch, names.INVOKE_AGENT),
        began=run.began,
        error_type=_LOST,
    )


def _begin_trace(task_id: UUID, epoch: int) -> str | None:
    tracing = traces.live()
    if tracing is None:
        return None
    trace_id = new_trace_id()
    return str(
        TraceContext(
            trace_id=trace_id,
            span_id=run_span_id(task_id, epoch, names.PROCESS),
            is_sampled=tracing.is_sampled(trace_id),
        )
    )


def _tell_wait(trace: TraceContext, steps: Sequence[Step]) -> None:
    """The span of a review that has just been decided: from its question to its answer."""
    if not steps or not is_decision(steps[-1]):
        return
    decided = steps[-1]
    asked = next(
        (
            step
            for step in reversed(steps[:-1])
            if step.kind is StepKind.REVIEW and (step.result or {}).get("state") == "waiting"
        ),
        None,
    )
    if asked is None:
        return
    traces.emit(
        f"{names.REVIEW} {asked.name}",
        attributes={
            names.REVIEW_KIND: asked.name,
            names.REVIEW_RULING: str((decided.result or {}).get("ruling")),
        },
        parent=str(trace),
        began=asked.finished_at,
        ended=decided.finished_at,
    )


def _reason(steps: Sequence[Step]) -> str:
    return _AFTER.get(steps[-1].kind, _INTERRUPTED)


def _own_trace(claim: Claim) -> tuple[TraceContext, str] | None:
    tracing = traces.live()
    trace = parse_traceparent(claim.traceparent)
    return None if tracing is None or trace is None else (trace, tracing.messaging_system)


def _task(task_id: UUID, tenant: str, epoch: int) -> Attributes:
    return {names.TASK_ID: str(task_id), names.TENANT: tenant, names.EPOCH: epoch}


def _message(claim: Claim, envelope: TaskEnvelope, messaging_system: str) -> Attributes:
    address = agent_address(claim.agent)
    return {
        names.MESSAGING_SYSTEM: messaging_system,
        names.MESSAGING_OPERATION: names.PROCESS,
        names.MESSAGING_OPERATION_TYPE: names.PROCESS,
        names.MESSAGING_DESTINATION: address,
        names.MESSAGING_MESSAGE_ID: str(claim.task_id),
        **({names.MESSAGING_ROUTING_KEY: address} if messaging_system == "rabbitmq" else {}),
        **_task(claim.task_id, envelope.tenant, claim.epoch),
        names.DELIVERIES: claim.deliveries,
        names.ATTEMPTS: claim.attempts,
    }
