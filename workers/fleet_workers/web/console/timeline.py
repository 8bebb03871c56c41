"""Turns journal steps into the entries of a task's timeline."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from fleet_workers.store.journal import Step, StepKind, StepState

Tone = Literal["good", "bad", "wait", "quiet"]

_CALLS = frozenset({StepKind.PLAN, StepKind.TOOL})  # all other kinds are notes, made in no time
_RULINGS: Mapping[str, tuple[Tone, str]] = {
    "pass": ("good", "passed"),
    "review": ("wait", "asks a person"),
}
_OFFLINE_PREFIX = "offline-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """A part that opens on demand. `content` is text, or a value shown as JSON."""

    title: str
    content: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One step as a person reads it. `duration` is None for notes and for open steps."""

    seq: int
    kind: str
    name: str
    tone: Tone
    status: str
    summary: str
    started_at: datetime | None
    duration: timedelta | None
    model: str | None
    tokens: int | None
    cost_usd: Decimal | None
    folds: tuple[Fold, ...]


def build_timeline(steps: Sequence[Step]) -> list[Entry]:
    """One entry a step, in order."""
    return [_entry(step) for step in steps]


def used_offline_model(steps: Sequence[Step]) -> bool:
    """Tell whether the built-in offline model had a part in it."""
    return any(
        step.usage is not None and step.usage.model.startswith(_OFFLINE_PREFIX) for step in steps
    )


def _entry(step: Step) -> Entry:
    tone, status = _standing(step)
    result = step.result or {}
    return Entry(
        seq=step.seq,
        kind=step.kind.value,
        name=step.name,
        tone=tone,
        status=status,
        summary=_summary(step, result),
        started_at=step.started_at,
        duration=_duration(step),
        model=step.usage.model if step.usage else _text(result.get("model")) or None,
        tokens=step.usage.tokens if step.usage else None,
        cost_usd=step.usage.cost_usd if step.usage else None,
        folds=tuple(_folds(step, result)),
    )


def _standing(step: Step) -> tuple[Tone, str]:
    result = step.result or {}
    if step.state is StepState.STARTED:
        return "wait", "started"
    if step.kind is StepKind.FAILURE or "error" in result:
        return "bad", "failed"
    if step.kind in {StepKind.GATE, StepKind.REVIEW}:
        ruling = "review" if step.kind is StepKind.REVIEW else _text(result.get("ruling"))
        return _RULINGS.get(ruling, ("bad", "refused"))
    if result.get("signals"):
        return "wait", "suspicious"
    return ("good", "done") if step.kind in _CALLS else ("quiet", "noted")


def _summary(step: Step, result: Mapping[str, Any]) -> str:
    if step.kind is StepKind.PLAN and step.result is not None:
        calls = [_text(call.get("name")) for call in result.get("calls") or []]
        return f"asks for {', '.join(calls)}" if calls else "replies in words"
    if error := result.get("error"):
        return _text(error)
    for field in ("reason", "answer", "message", "agent"):
        if said := result.get(field):
            return _text(said)
    signals = result.get("signals")
    if isinstance(signals, list) and signals:
        return ", ".join(_text(signal) for signal in signals)
    score = result.get("score")
    reasons = result.get("reasons")
    if isinstance(score, int | float):
        why = "; ".join(_text(reason) for reason in reasons) if isinstance(reasons, list) else ""
        return f"{score:.2f}" + (f": {why}" if why else "")
    return ""


def _folds(step: Step, result: Mapping[str, Any]) -> list[Fold]:
    if step.kind is StepKind.PLAN:
        words = [Fold(title="Reply", content=result["text"])] if result.get("text") else []
        calls = [
            Fold(title=f"Call: {_text(call.get('name'))}", content=_arguments(call))
            for call in result.get("calls") or []
        ]
        return words + calls
    folds = []
    if step.kind is StepKind.TOOL:
        folds.append(Fold(title="Arguments", content=step.request.get("arguments", step.request)))
        if gates := step.request.get("gates"):
            folds.append(Fold(title="Gates", content=gates))
    elif step.request:
        folds.append(Fold(title="Request", content=dict(step.request)))
    if step.kind is StepKind.TOOL and "value" in result:
        folds.append(Fold(title="Result", content=result["value"]))
    elif result:
        folds.append(Fold(title="Result", content=dict(result)))
    return folds


def _arguments(call: Mapping[str, Any]) -> object:
    text = _text(call.get("arguments"))
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _duration(step: Step) -> timedelta | None:
    if step.kind not in _CALLS or step.started_at is None or step.finished_at is None:
        return None
    return step.finished_at - step.started_at


def _text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
