"""What a person is told of a task that a larger model took over."""

from typing import Any

import pytest

from fleet_contracts.envelope import build_envelope
from fleet_workers.controller.decision import Park
from fleet_workers.review.handoff import build_packet
from fleet_workers.review.wording import climb_words
from fleet_workers.store.journal import Step, StepKind, StepState
from fleet_workers.testing import ScriptedModel, answer, run_agent, say
from fleet_workers.web.console.step_reading import summary_of
from support.parcels import RELEASE, TEXT


def plan(climbed_from: Any, *, state: StepState = StepState.DONE) -> Step:
    result = {"text": "x", "calls": []} if state is StepState.DONE else None
    request = {"tier": "medium", "climbed_from": climbed_from}
    return Step(
        seq=3, kind=StepKind.PLAN, name="parcels", state=state, request=request, result=result
    )


def test_the_packet_tells_who_was_unsure_and_who_answered() -> None:
    models = {
        "small": ScriptedModel([answer("Lyon?", 0.55)]),
        "medium": ScriptedModel([say("")]),
        "large": ScriptedModel([answer("Nice?", 0.4)]),
    }
    found = run_agent(RELEASE, TEXT, model=models, tools={}, customer="cus_1")
    assert isinstance(found.decision, Park)
    packet = build_packet(
        build_envelope(tenant="acme", agent="parcels", input=TEXT),
        list(found.steps),
        agent="parcels",
        release=RELEASE.id,
        reason=found.decision.reason,
        proposal=found.decision.proposal,
        confidence=found.decision.confidence,
        kind=found.decision.kind,
    )
    told = packet["understood"]
    assert "The small model was unsure (0.55), the medium one answered." in told
    assert (
        "The medium model gave nothing to use (The model's reply was empty), "
        "the large one answered." in told
    )


def test_a_larger_model_that_did_not_answer_is_named() -> None:
    climbed = {"tier": "small", "to": "medium", "plan": 1, "reason": "r", "confidence": 0.5}
    words = climb_words(plan(climbed, state=StepState.STARTED))
    assert words == "The small model was unsure (0.50), the medium one gave no answer."


def test_the_timeline_says_it_beside_the_plan() -> None:
    climbed = plan({"tier": "small", "to": "large", "plan": 1, "reason": "Cut short."})
    summary = summary_of(climbed, climbed.result or {})
    assert summary == (
        "The small model gave nothing to use (Cut short), the large one answered. "
        "It replies in words"
    )


@pytest.mark.parametrize("strange", [None, "broken", [], 7])
def test_a_row_that_holds_something_else_says_nothing(strange: Any) -> None:
    assert not climb_words(plan(strange))


@pytest.mark.parametrize("strange", [{}, {"confidence": "high"}, {"reason": None, "tier": 3}])
def test_a_row_that_lacks_something_is_no_fault(strange: Any) -> None:
    assert climb_words(plan(strange))
