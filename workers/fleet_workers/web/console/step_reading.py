"""Says in words what one journal step is, how it stands, and what was checked about it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from fleet_contracts.outcome import ReviewKind
from fleet_workers.review.wording import climb_words, router_words
from fleet_workers.store.journal import Step, StepKind, StepState

Tone = Literal["good", "bad", "wait", "quiet"]

_CALLS = frozenset({StepKind.PLAN, StepKind.TOOL})
_RULINGS: Mapping[str, tuple[Tone, str]] = {
    "pass": ("good", "passed"),
    "review": ("wait", "asks a person"),
}
_DECISIONS: Mapping[str, tuple[Tone, str]] = {
    "approve": ("good", "approved"),
    "edit": ("good", "edited"),
    "answer": ("good", "answered"),
    "reject": ("bad", "rejected"),
    "ask": ("quiet", "asked back"),
    "reassign": ("quiet", "sent on"),
}
_NOTES_OF_PEOPLE: Mapping[str, tuple[Tone, str]] = {
    "decision_used": ("quiet", "used"),
    "not_called": ("wait", "held back"),
}
_ORIGINS: Mapping[str, str] = {
    "exact_cache": "stored: the same was asked before",
    "semantic_cache": "stored: the same was asked in other words",
    "in_flight": "shared: the same was being asked",
    "batch": "one call for several tasks",
    "batch_api": "by the provider's Batch API",
}
_KINDS = frozenset(ReviewKind)
_WORDS = ("in_doubt", "error", "reason", "text", "answer", "message", "agent")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """A part that opens on demand. `content` is text, or a value shown as JSON."""

    title: str
    content: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What a gate, or a check of an answer, said."""

    name: str
    ruling: str
    reason: str


def standing_of(step: Step) -> tuple[Tone, str]:
    """How a step stands: its tone, and a word or two."""
    result = step.result or {}
    if step.state is StepState.STARTED:
        return "wait", "not ended"
    match step.kind:
        case StepKind.FAILURE:
            return "bad", "will be retried" if "retry_in_seconds" in result else "given up"
        case StepKind.REVIEW:
            return _standing_of_review(step, result)
        case StepKind.GATE:
            return _RULINGS.get(as_words(result.get("ruling")), ("bad", "refused"))
        case StepKind.OUTBOUND:
            return _worst(checks_of(step, result))
        case _:
            return _standing_of_work(step, result)


def checks_of(step: Step, result: Mapping[str, Any]) -> tuple[Check, ...]:
    """What gates and checks said about a step, where it holds that."""
    if step.kind is StepKind.OUTBOUND:
        found = result.get("verdicts")
    else:
        found = step.request.get("gates") or result.get("gates")
    if not isinstance(found, list):
        return ()
    return tuple(_check(each) for each in found if isinstance(each, Mapping))


def summary_of(step: Step, result: Mapping[str, Any]) -> str:
    """What a step came to, in a line or some."""
    if step.kind is StepKind.PLAN and step.result is not None:
        calls = [as_words(call.get("name")) for call in _calls(result)]
        asks = f"asks for {', '.join(calls)}" if calls else "replies in words"
        climbed = climb_words(step)
        return (f"{climbed} It {asks}" if climbed else asks) + _origin(result) + _degraded(step)
    if step.kind is StepKind.FAILURE:
        return _failure(result)
    if step.kind is StepKind.REVIEW and (by := result.get("by")):
        return f"{as_words(by)}: {as_words(result.get('text'))}".removesuffix(": ")
    if routed := router_words(result) if step.kind is StepKind.TRIAGE else "":
        return routed
    said = (result.get(field) for field in _WORDS)
    return next((as_words(each) for each in said if each), "") or _signals(result)


def folds_of(step: Step, result: Mapping[str, Any]) -> list[Fold]:
    """What a step holds, to be opened on demand."""
    if step.kind is StepKind.PLAN:
        words = [Fold(title="Reply", content=result["text"])] if result.get("text") else []
        calls = [
            Fold(title=f"Call: {as_words(call.get('name'))}", content=_arguments(call))
            for call in _calls(result)
        ]
        return words + calls
    folds = []
    if step.kind is StepKind.TOOL:
        folds.append(Fold(title="Arguments", content=step.request.get("arguments", step.request)))
    elif step.request:
        folds.append(Fold(title="Request", content=dict(step.request)))
    if step.kind is StepKind.TOOL and "value" in result:
        folds.append(Fold(title="Result", content=result["value"]))
    elif result and step.kind is not StepKind.FAILURE:
        folds.append(Fold(title="Record", content=dict(result)))
    return folds


def as_words(value: object) -> str:
    """A text as it stands, nothing as nothing, and all else as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _standing_of_work(step: Step, result: Mapping[str, Any]) -> tuple[Tone, str]:
    if "in_doubt" in result:
        return "bad", "in doubt"
    if "error" in result:
        return "bad", "failed"
    if result.get("signals"):
        return "wait", "suspicious"
    if step.kind is StepKind.CONFIDENCE and result.get("reasons"):
        return "wait", "doubts"
    return ("good", "done") if step.kind in _CALLS else ("quiet", "noted")


def _standing_of_review(step: Step, result: Mapping[str, Any]) -> tuple[Tone, str]:
    if step.name in _NOTES_OF_PEOPLE:
        return _NOTES_OF_PEOPLE[step.name]
    if step.name in _KINDS:
        return "wait", "asks a person"
    return _DECISIONS.get(as_words(result.get("ruling")), ("quiet", "noted"))


def _worst(checks: tuple[Check, ...]) -> tuple[Tone, str]:
    rulings = {each.ruling for each in checks}
    if "refuse" in rulings:
        return "bad", "refused"
    if "review" in rulings:
        return "wait", "asks a person"
    return ("wait", "doubts") if rulings - {"pass"} else ("good", "passed")


def _check(said: Mapping[str, Any]) -> Check:
    return Check(
        name=as_words(said.get("gate") or said.get("check")),
        ruling=as_words(said.get("ruling")),
        reason=as_words(said.get("reason")),
    )


def _degraded(step: Step) -> str:
    """What was asked for in place of what, where money did not suffice."""
    asked, wanted = step.request.get("tier"), step.request.get("degraded_from")
    short = "a short answer" if step.request.get("most_tokens") else None
    instead = f"{as_words(asked)} in place of {as_words(wanted)}" if wanted else None
    parts = [each for each in (instead, short) if each]
    return f" (asked for {', '.join(parts)}: the budget)" if parts else ""


def _origin(result: Mapping[str, Any]) -> str:
    """Where a plan came from that was no call of its own, and what that saved."""
    words = _ORIGINS.get(as_words(result.get("source")))
    if words is None:
        return ""
    told = result.get("provenance")
    told = told if isinstance(told, Mapping) else {}
    parts = [words]
    if task := told.get("task"):
        parts[0] += f" by task {as_words(task)}"
    if isinstance(similarity := told.get("similarity"), int | float):
        parts.append(f"{similarity:.3f} alike")
    if saved := result.get("saved_usd"):
        parts.append(f"saved ${as_words(saved)}")
    return f" ({', '.join(parts)})"


def _failure(result: Mapping[str, Any]) -> str:
    said, wait_seconds = as_words(result.get("error")), result.get("retry_in_seconds")
    if isinstance(wait_seconds, int | float):
        return f"{said} Next attempt after {wait_seconds:.1f} s."
    return said


def _signals(result: Mapping[str, Any]) -> str:
    signals = result.get("signals")
    if isinstance(signals, list) and signals:
        return ", ".join(as_words(signal) for signal in signals)
    return _score(result)


def _score(result: Mapping[str, Any]) -> str:
    score, reasons = result.get("score"), result.get("reasons")
    if not isinstance(score, int | float):
        return ""
    why = "; ".join(as_words(reason) for reason in reasons) if isinstance(reasons, list) else ""
    return f"{score:.2f}" + (f": {why}" if why else "")


def _calls(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    calls = result.get("calls")
    if not isinstance(calls, list):
        return []
    return [each for each in calls if isinstance(each, Mapping)]


def _arguments(call: Mapping[str, Any]) -> object:
    text = as_words(call.get("arguments"))
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
