"""Where a smaller model's plan would not do, a larger one is asked before a person is."""

import json
from dataclasses import replace

import pytest

from fleet_contracts.errors import ConfigurationError
from fleet_contracts.outcome import OutcomeKind, ReviewKind
from fleet_workers.agents.examples import Example
from fleet_workers.controller.decision import Finish
from fleet_workers.models.asking import Asking
from fleet_workers.models.candidates import MAIN, by_tier
from fleet_workers.models.capabilities import Capabilities
from fleet_workers.models.endpoint import Address
from fleet_workers.models.gateway import Gateway
from fleet_workers.models.prices import load_prices
from fleet_workers.resilience.breakers import Breakers
from fleet_workers.store.journal import StepKind
from fleet_workers.testing import (
    AgentRun,
    Reply,
    ScriptedModel,
    answer,
    ask,
    call,
    calls,
    fail,
    hand_over,
    run_agent,
    say,
)
from support.model_endpoint import Body, Told, completion, model_endpoint, told
from support.parcels import RELEASE, TEXT, TRACKED
from unit.controller.climbs import (
    REFUND,
    SURE,
    TRACK,
    UNSURE,
    Witness,
    climb,
    release_of,
    tiers,
)


def test_an_unsure_answer_is_given_to_the_next_tier() -> None:
    found = climb([UNSURE], [SURE])
    assert found.answer == "It is in Lyon."
    assert tiers(found) == ["small", "medium"]
    climbed = [step for step in found.steps if step.kind is StepKind.PLAN][-1]
    assert climbed.request["climbed_from"] == {
        "tier": "small",
        "to": "medium",
        "plan": 1,
        "reason": "Confidence 0.40 is under 0.70: the model itself is not sure.",
        "confidence": 0.4,
    }


def test_after_the_highest_tier_a_person_is_asked_with_its_draft() -> None:
    found = climb([UNSURE], [answer("In Lyon, I think.", 0.5)], [answer("Lyon or Nice.", 0.6)])
    assert found.review_kind is ReviewKind.LOW_CONFIDENCE
    assert found.decision.proposal["answer"] == "Lyon or Nice."
    assert found.outcome.confidence == 0.6
    assert tiers(found) == ["small", "medium", "large"]


@pytest.mark.parametrize(
    "unusable",
    [
        [say("")],
        [say("It is in Lyon.")],
        [call("delete_everything")],
        [call("track_parcel", order_id="7"), call("track_parcel", order_id="seven")],
        [calls(TRACK, SURE), calls(TRACK, SURE)],
        [answer("You get $ 999.00 back.")],
    ],
)
def test_a_plan_that_cannot_be_used_is_made_anew(unusable: list[Reply]) -> None:
    found = climb(unusable, [SURE] * 3)
    assert found.answer == "It is in Lyon."
    assert tiers(found) == ["small"] * len(unusable) + ["medium"]


@pytest.mark.parametrize(
    "end", [hand_over("Not mine."), call("refund_order", order_id="ord_7", amount_usd="50.01")]
)
def test_what_people_must_decide_goes_to_them_at_once(end: Reply) -> None:
    assert tiers(climb([end], [SURE])) == ["small"]


def test_a_question_to_the_customer_needs_no_larger_model() -> None:
    assert climb([ask("Which order?")], [SURE]).outcome.kind is OutcomeKind.ASKED


def test_the_larger_model_sees_what_was_found_and_not_what_was_made_of_it() -> None:
    small, medium = ScriptedModel([TRACK, UNSURE]), Witness([TRACK, SURE])
    models = {"small": small, "medium": medium}
    run_agent(RELEASE, TEXT, model=models, tools={"track_parcel": TRACKED}, customer="cus_1")
    (asked,) = medium.asked
    said = str(asked.messages)
    assert [each["role"] for each in asked.messages] == ["system", "user", "assistant", "tool"]
    assert "in Lyon" in asked.messages[-1]["content"]
    assert "Probably" not in said
    assert asked.tier == "medium"
    assert asked.asked_for is not None
    assert not asked.asked_for.is_first


def test_a_call_that_was_not_accepted_is_not_shown_to_the_larger_model() -> None:
    wrong = calls(TRACK, call("track_parcel", order_id="seven"))
    medium = Witness([TRACK, SURE])
    models = {"small": ScriptedModel([wrong, call("refund_order", order_id=3)]), "medium": medium}
    run_agent(RELEASE, TEXT, model=models, tools={"track_parcel": TRACKED}, customer="cus_1")
    (asked,) = medium.asked
    made, result = asked.messages[-2:]
    assert [each["function"]["arguments"] for each in made["tool_calls"]] == [
        '{"order_id": "ord_7"}'
    ]
    assert result["tool_call_id"] == made["tool_calls"][0]["id"]


def test_what_was_written_stands_and_is_not_written_again() -> None:
    found = climb([REFUND, UNSURE], [REFUND, REFUND, answer("Refunded.", 0.9)])
    assert found.answer == "Refunded."
    assert [each.name for each in found.calls] == ["refund_order"]


def test_the_larger_model_goes_on_with_the_task() -> None:
    found = climb([UNSURE], [TRACK, SURE], [SURE])
    assert tiers(found) == ["small", "medium", "medium"]
    assert found.answer == "It is in Lyon."


def test_personal_data_stays_hidden_and_is_told_again_after_a_climb() -> None:
    text = f"{TEXT} Write to ann@example.org."
    medium = Witness([answer("Your address is <EMAIL_1>.", 0.9)])
    models = {"small": ScriptedModel([answer("Is it <EMAIL_1>?", 0.3)]), "medium": medium}
    found = run_agent(RELEASE, text, model=models, tools={}, customer="cus_1")
    assert "ann@example.org" not in str(medium.asked[0].messages)
    assert found.answer == "Your address is ann@example.org."


def test_the_gateway_asks_the_models_of_each_tier() -> None:
    def reply(_path: str, body: Body) -> Told:
        line = UNSURE if body["model"] == "s" else SURE
        ((name, arguments),) = line.calls
        function = {"name": name, "arguments": arguments}
        return told(completion(None, tool_calls=[{"id": "c1", "function": function}]))

    with model_endpoint(reply) as endpoint:
        gateway = Gateway(
            addresses=[Address(name=MAIN, base_url=endpoint.url, api_key="k")],
            candidates=by_tier([["s"], ["m"], []]),
            breakers=Breakers(),
            prices=load_prices(None),
            asking=Asking(capabilities=Capabilities()),
        )
        models = {"small": gateway, "medium": gateway}
        found = run_agent(RELEASE, TEXT, model=models, tools={}, customer="cus_1")
        gateway.close()
    assert found.answer == "It is in Lyon."
    assert [body["model"] for body in map(json.loads, endpoint.asked.raw)] == ["s", "m"]


# --- how sure is sure ---------------------------------------------------------------------------


def test_an_answer_that_could_stand_may_be_checked_by_a_larger_model() -> None:
    careful = release_of(climb_below=0.9)
    fair = answer("It is in Lyon.", 0.8)
    assert tiers(climb([fair], [answer("It is in Nice.", 0.95)], release=careful)) == [
        "small",
        "medium",
    ]
    away = climb([fair], [fail(ConfigurationError("none"), times=None)], release=careful)
    assert isinstance(away.decision, Finish)
    assert away.answer == "It is in Lyon."
    highest = climb([fair], [fair], release=careful)
    assert highest.outcome.kind is OutcomeKind.ANSWERED


def test_hard_requests_begin_one_tier_higher() -> None:
    release = release_of(tier="auto")
    easy = climb([SURE], [SURE], release=release, text="Where is ord_7?")
    hard = climb(
        [SURE],
        [SURE],
        release=release,
        text="My order ord_7 has not come, and if it is lost I want 40 dollars back; otherwise "
        "send it to my new address, and also cancel ord_8 unless it has left, and tell me why "
        "I was charged twice for ord_9.",
    )
    assert (tiers(easy), tiers(hard)) == (["small"], ["medium"])
    noted = [
        step.request["difficulty"]
        for each in (easy, hard)
        for step in each.steps
        if step.kind is StepKind.PLAN
    ]
    assert noted[0] < 0.5 <= noted[1]
    assert tiers(climb([SURE], release=release)) == ["small"]


def test_the_agents_own_examples_say_what_is_hard() -> None:
    told = (("Where is ord_1?", "track"), ("Where is my parcel?", "track"), ("Refund it", "pay"))
    examples = tuple(Example(text=text, intent=intent) for text, intent in told)
    release = replace(release_of(tier="auto"), examples=examples)
    text = "Where is ord_7?"
    without = climb([SURE], [SURE], release=release_of(tier="auto"), text=text)
    known = climb([SURE], [SURE], release=release, text=text)
    strange = climb([SURE], [SURE], release=release, text="Does your warranty cover water?")
    assert difficulty(known) < difficulty(without)
    assert difficulty(known) < difficulty(strange)


def difficulty(found: AgentRun) -> float:
    plan = next(step for step in found.steps if step.kind is StepKind.PLAN)
    return float(plan.request["difficulty"])
