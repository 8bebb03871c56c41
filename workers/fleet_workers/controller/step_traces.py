"""The spans and events of the steps of a run: what is asked, called and ruled."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

from fleet_workers.controller.decision import AskModel, CallTool, CheckInbound, Decision, Recall
from fleet_workers.models.asked_for import OWN_CALL
from fleet_workers.store.journal import Journal, Step, StepKind
from fleet_workers.telemetry import span_names as names
from fleet_workers.telemetry import traces
from fleet_workers.telemetry.run_scope import note_step, run_scope
from fleet_workers.telemetry.traces import NO_SPAN, Attributes, Span

_KINDS: Final[Mapping[type, StepKind]] = {
    AskModel: StepKind.PLAN,
    CallTool: StepKind.TOOL,
    CheckInbound: StepKind.INBOUND,
    Recall: StepKind.MEMORY,
}
_WITH_SPAN: Final = frozenset({StepKind.PLAN, StepKind.TOOL})


def traced_step(decision: Decision, journal: Journal) -> AbstractContextManager[object]:
    """Carry a decision out inside: logs name its step, and its spans and events are made.

    What is told of a step is read from the journal when it is done.
    """
    number = len(journal.steps())
    if isinstance(decision, CallTool) and decision.resumes is not None:
        number = decision.resumes
    note_step(number, _KINDS.get(type(decision), StepKind.GATE))
    return NO_SPAN if traces.live() is None else _traced(decision, journal, number)


@contextmanager
def _traced(decision: Decision, journal: Journal, number: int) -> Iterator[None]:
    seen = len(journal.steps())
    with _span(decision, number) as span:
        yield
        after = journal.steps()
        if isinstance(decision, AskModel | CallTool):
            _tell_result(span, decision, after, number)
        for step in after[seen:]:
            if step.kind not in _WITH_SPAN:
                _tell_step(step)


def _span(decision: Decision, number: int) -> Span:
    match decision:
        case AskModel():
            return traces.span(
                names.PLAN,
                attributes={
                    names.OPERATION: names.PLAN,
                    names.CHAT_TIER: decision.tier,
                    **_place(number),
                },
            )
        case CallTool():
            return traces.span(
                f"{names.EXECUTE_TOOL} {decision.tool.name}",
                attributes={
                    names.OPERATION: names.EXECUTE_TOOL,
                    names.TOOL_NAME: decision.tool.name,
                    names.TOOL_TYPE: "function",
                    names.TOOL_CALL_ID: f"{decision.plan}:{decision.index}",
                    names.TOOL_EFFECT: decision.tool.effect,
                    **_place(number),
                },
            )
    return NO_SPAN


def _place(number: int) -> Attributes:
    scope = run_scope()
    return {names.STEP: number, **({names.TASK_ID: scope.task} if scope else {})}


def _tell_result(span: Span, decision: AskModel | CallTool, steps: list[Step], number: int) -> None:
    kind = _KINDS[type(decision)]
    step = next((each for each in steps[number:] if each.kind is kind), None)
    if isinstance(decision, CallTool):
        _tell_tool(span, decision, step)
    elif step is not None and step.result is not None:
        span.set(_of_plan(step.result))


def _tell_tool(span: Span, decision: CallTool, step: Step | None) -> None:
    for gate in decision.gates:
        told = {names.GATE: str(gate.get("gate")), names.RULING: str(gate.get("ruling"))}
        span.event(names.GATE_EVENT, told)
    result = (step.result if step else None) or {}
    outcome = next(
        (name for name in ("value", "error", "in_doubt") if name in result), "not_called"
    )
    span.set({names.TOOL_OUTCOME: outcome})


def _of_plan(result: Mapping[str, Any]) -> Attributes:
    told: dict[str, traces.Value] = {
        names.MODEL_SOURCE: str(result.get("source", OWN_CALL)),
        names.FINISH_REASONS: [str(result.get("finish_reason"))],
    }
    if model := result.get("model"):
        told[names.RESPONSE_MODEL] = str(model)
    return told


def _tell_step(step: Step) -> None:
    """A verdict, by its names: its reasons quote what was asked."""
    told: dict[str, traces.Value] = {names.STEP: step.seq, names.STEP_NAME: step.name}
    result = step.result or {}
    for field, name in (("ruling", names.RULING), ("agent", names.REROUTED_TO)):
        if isinstance(result.get(field), str):
            told[name] = result[field]
    if isinstance(result.get("confidence"), int | float):
        told[names.CONFIDENCE] = float(result["confidence"])
    traces.current().event(f"{names.STEP_EVENT_PREFIX}{step.kind}", told)
