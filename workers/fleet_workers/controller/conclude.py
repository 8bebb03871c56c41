"""Turns the call that ends a plan into a result, or into an item for a person."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fleet_contracts.envelope import TaskEnvelope
from fleet_contracts.outcome import Outcome, OutcomeKind, ReviewKind
from fleet_workers.controller.decision import Decision, Finish, Park
from fleet_workers.controller.plan import Plan, call_result, tools_used
from fleet_workers.controller.situation import Situation
from fleet_workers.models.control import ANSWER, ASK_CUSTOMER
from fleet_workers.rails.confidence import Evidence, assess
from fleet_workers.rails.grounding import ungrounded_claims
from fleet_workers.store.journal import Step, StepKind


def outcome_of(decision: Finish | Park, steps: Sequence[Step]) -> Outcome:
    """What a run has come to, as its producer sees it."""
    if isinstance(decision, Finish):
        return decision.outcome
    return Outcome(
        kind=OutcomeKind.REVIEW,
        confidence=decision.confidence,
        reason=decision.reason,
        review_kind=decision.kind,
        tools_used=tools_used(steps),
    )


def conclude_text(situation: Situation, plan: Plan) -> Decision:
    """A reply in plain text is an answer whose confidence the model did not state."""
    return _answer(situation, plan, text=plan.text or "", stated=None)


def conclude_call(
    situation: Situation, plan: Plan, name: str, arguments: Mapping[str, Any]
) -> Decision:
    """Act on answer, ask_customer or hand_over.

    Raises:
        ValueError: An argument is missing or out of range; the text tells the model which.
    """
    if name == ANSWER:
        stated = _probability(arguments.get("confidence"))
        return _answer(situation, plan, text=_words(arguments, "text"), stated=stated)
    if name == ASK_CUSTOMER:
        return Finish(
            outcome=Outcome(
                kind=OutcomeKind.ASKED,
                answer=_words(arguments, "question"),
                tools_used=tools_used(situation.steps),
                model=plan.model,
                offline=plan.offline,
            )
        )
    return Park(kind=ReviewKind.OUT_OF_SCOPE, reason=_words(arguments, "reason"))


def _answer(situation: Situation, plan: Plan, *, text: str, stated: float | None) -> Decision:
    steps = situation.steps
    threshold = situation.release.manifest.review_below
    ungrounded = ungrounded_claims(text, known=_known_texts(situation.envelope, steps))
    assessment = assess(
        Evidence(
            stated=stated,
            ungrounded=ungrounded,
            failed_last_call=_last_call_failed(steps),
            suspicious=_is_suspicious(steps),
        )
    )
    evidence = assessment.as_record()
    if assessment.score < threshold:
        weak = "; ".join(assessment.reasons) or "the model itself is not sure"
        return Park(
            kind=ReviewKind.UNGROUNDED if ungrounded else ReviewKind.LOW_CONFIDENCE,
            reason=f"Confidence {assessment.score:.2f} is under {threshold:.2f}: {weak}.",
            proposal={"answer": text},
            evidence=evidence,
            confidence=assessment.score,
        )
    return Finish(
        outcome=Outcome(
            kind=OutcomeKind.ANSWERED,
            answer=text,
            confidence=assessment.score,
            tools_used=tools_used(steps),
            model=plan.model,
            offline=plan.offline,
        ),
        evidence=evidence,
    )


def _known_texts(envelope: TaskEnvelope, steps: Sequence[Step]) -> list[str]:
    results = [
        json.dumps(call_result(step), ensure_ascii=False)
        for step in steps
        if step.kind is StepKind.TOOL and step.result is not None
    ]
    turns = [
        json.dumps(step.result, ensure_ascii=False)
        for step in steps
        if step.kind is StepKind.MEMORY
    ]
    arguments = [
        json.dumps(step.request["arguments"]) for step in steps if step.kind is StepKind.TOOL
    ]
    request = [envelope.input, json.dumps(envelope.data), envelope.customer or ""]
    return results + turns + arguments + request


def _last_call_failed(steps: Sequence[Step]) -> bool:
    calls = [step for step in steps if step.kind is StepKind.TOOL]
    return bool(calls) and "error" in (calls[-1].result or {})


def _is_suspicious(steps: Sequence[Step]) -> bool:
    """Whether the request, or a text that was read for it, tries to steer the agent."""
    return any(
        step.kind in {StepKind.INBOUND, StepKind.TOOL} and bool((step.result or {}).get("signals"))
        for step in steps
    )


def _words(arguments: Mapping[str, Any], name: str) -> str:
    value = arguments.get(name)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name} must be a text that is not empty.")
    return value.strip()


def _probability(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError("confidence must be a number from 0 to 1.")
    return float(value)
