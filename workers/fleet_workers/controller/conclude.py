"""Turns the call that ends a plan into a result, or into an item for a person."""

from collections.abc import Mapping, Sequence
from typing import Any

from fleet_contracts.outcome import Outcome, OutcomeKind, ReviewKind
from fleet_workers.controller.decision import Decision, Finish, Park
from fleet_workers.controller.outbound import check_text
from fleet_workers.controller.plan import Plan, tools_used
from fleet_workers.controller.situation import Situation, is_suspicious
from fleet_workers.models.control import ANSWER, ASK_CUSTOMER
from fleet_workers.rails.confidence import Evidence, assess
from fleet_workers.rails.outbound import OutboundReport
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
    """A reply in plain text is an answer whose confidence the model did not state.

    Raises:
        ValueError: The text has a form that no customer may see.
    """
    return _answer(situation, plan, text=plan.text or "", stated=None)


def conclude_call(
    situation: Situation, plan: Plan, name: str, arguments: Mapping[str, Any]
) -> Decision:
    """Act on answer, ask_customer or hand_over.

    Raises:
        ValueError: An argument is missing, out of range, or has a form that no customer may see;
            the text tells the model which.
    """
    if name == ANSWER:
        stated = _probability(arguments.get("confidence"))
        return _answer(situation, plan, text=_words(arguments, "text"), stated=stated)
    if name == ASK_CUSTOMER:
        return _question(situation, plan, _words(arguments, "question"))
    return Park(
        kind=ReviewKind.OUT_OF_SCOPE,
        reason=_words(arguments, "reason"),
        proposal={"plan": plan.seq},
    )


def _answer(situation: Situation, plan: Plan, *, text: str, stated: float | None) -> Decision:
    steps = situation.steps
    threshold = situation.release.manifest.review_below
    report = _checked(situation, text)
    assessment = assess(
        Evidence(
            stated=stated,
            ungrounded=report.ungrounded,
            failed_last_call=_last_call_failed(steps),
            suspicious=is_suspicious(steps),
        )
    )
    evidence = {**assessment.as_record(), "outbound": report.as_record()}
    if report.first("review") is not None:
        return _stopped(plan, report, evidence, confidence=assessment.score)
    if assessment.score < threshold:
        weak = "; ".join(assessment.reasons) or "the model itself is not sure"
        return Park(
            kind=ReviewKind.UNGROUNDED if report.ungrounded else ReviewKind.LOW_CONFIDENCE,
            reason=f"Confidence {assessment.score:.2f} is under {threshold:.2f}: {weak}.",
            proposal={"answer": text, "plan": plan.seq},
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


def _question(situation: Situation, plan: Plan, text: str) -> Decision:
    """A question has no confidence: what would make an answer doubtful stops it."""
    report = _checked(situation, text)
    evidence = {"outbound": report.as_record()}
    if report.first("review") is not None or report.first("doubt") is not None:
        return _stopped(plan, report, evidence)
    return Finish(
        outcome=Outcome(
            kind=OutcomeKind.ASKED,
            answer=text,
            tools_used=tools_used(situation.steps),
            model=plan.model,
            offline=plan.offline,
        ),
        evidence=evidence,
    )


def _checked(situation: Situation, text: str) -> OutboundReport:
    report = check_text(situation, text)
    refused = report.first("refuse")
    if refused is not None:
        raise ValueError(f"{refused.reason} Say it again in plain words for the customer.")
    return report


def _stopped(
    plan: Plan,
    report: OutboundReport,
    evidence: Mapping[str, Any],
    *,
    confidence: float | None = None,
) -> Park:
    """For a person, with the draft; what leaks is blacked out in it, so it cannot be approved."""
    reasons = [each.reason for each in report.verdicts if each.ruling != "pass"]
    return Park(
        kind=ReviewKind.SUSPICIOUS if report.leaks else ReviewKind.UNGROUNDED,
        reason=" ".join(reasons),
        proposal={"answer": report.shown, "plan": plan.seq},
        evidence=evidence,
        confidence=confidence,
    )


def _last_call_failed(steps: Sequence[Step]) -> bool:
    calls = [step for step in steps if step.kind is StepKind.TOOL]
    return bool(calls) and "error" in (calls[-1].result or {})


def _words(arguments: Mapping[str, Any], name: str) -> str:
    value = arguments.get(name)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name} must be a text that is not empty.")
    return value.strip()


def _probability(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError("confidence must be a number from 0 to 1.")
    return float(value)
