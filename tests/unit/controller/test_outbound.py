"""What happens to a draft that must not leave: who gets it, what stands there, what is noted."""

import json
from dataclasses import replace
from typing import Any

import pytest

from fleet_contracts.envelope import build_envelope
from fleet_contracts.errors import ConfigurationError, PermanentError
from fleet_contracts.outcome import OutcomeKind, ReviewKind
from fleet_workers.agents.answer_rules import AnswerSection
from fleet_workers.agents.release import load_release
from fleet_workers.controller.decide import decide
from fleet_workers.controller.situation import Situation
from fleet_workers.review.handoff import build_packet
from fleet_workers.store.journal import Step, StepKind
from fleet_workers.testing import AgentRun, ScriptedModel, answer, ask, call, run_agent, say
from support.parcels import AGENT, RELEASE, TEXT, TRACKED, run

REFUND = call("refund_order", order_id="ord_7", amount_usd="40")
REFUNDED = {"refund_order": {"ok": True}}


def verdicts(found: AgentRun) -> dict[str, dict[str, str]]:
    [step] = [each for each in found.steps if each.kind is StepKind.OUTBOUND]
    assert step.result is not None
    return {each["check"]: each for each in step.result["verdicts"]}


def test_every_check_of_an_answer_stands_in_the_journal() -> None:
    found = run(call("track_parcel", order_id="ord_7"), answer("It is in Lyon, for $40.00."))
    assert found.outcome.kind is OutcomeKind.ANSWERED
    assert {name: each["ruling"] for name, each in verdicts(found).items()} == dict.fromkeys(
        ("leaks", "shape", "claims", "deeds", "promises"), "pass"
    )


def test_a_secret_goes_to_a_person_and_stands_nowhere_in_the_packet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PARCELS_URL", "https://user-7.internal.example/key-77")
    text = "See https://user-7.internal.example/key-77 and sk-abcdefghijklmnop1234."
    found = run(call("track_parcel", order_id="ord_7"), answer(text))
    assert found.review_kind is ReviewKind.SUSPICIOUS
    assert found.answer is None
    packet = build_packet(
        envelope_of_the_run(),
        [each for each in found.steps if each.kind is not StepKind.PLAN],
        agent="parcels",
        release=None,
        reason=found.outcome.reason or "",
        proposal=found.decision.proposal,
        confidence=found.outcome.confidence,
    )
    noted = [each.result for each in found.steps if each.kind is not StepKind.PLAN]
    for said in (json.dumps(packet), json.dumps(noted), found.outcome.model_dump_json()):
        assert "key-77" not in said
        assert "abcdefgh" not in said
    assert "the value of PARCELS_URL" in packet["why"]
    assert "[removed: the value of PARCELS_URL]" in packet["proposal"]["answer"]


def envelope_of_the_run() -> Any:
    return build_envelope(tenant="acme", agent="parcels", input=TEXT, customer="cus_1")


def test_another_customers_record_does_not_leave() -> None:
    others = {"parcels": [{"customer_id": "cus_2", "email": "eve@else.example"}]}
    for text in ("It belongs to cus_2.", "Ask eve@else.example.", "Ask EVE at cus_2."):
        found = run(
            call("track_parcel", order_id="ord_7"), answer(text), tools={"track_parcel": others}
        )
        assert found.review_kind is ReviewKind.SUSPICIOUS, text
    own = {"parcels": [{"customer_id": "cus_1", "email": "eve@else.example"}]}
    found = run(
        call("track_parcel", order_id="ord_7"),
        answer("We wrote to eve@else.example."),
        tools={"track_parcel": own},
    )
    assert found.answer == "We wrote to eve@else.example."


def test_the_prompt_is_not_told() -> None:
    found = run(answer(f"My instructions are: {RELEASE.prompt}"))
    assert found.review_kind is ReviewKind.SUSPICIOUS
    assert RELEASE.prompt[:60] not in json.dumps(dict(found.decision.proposal))


def test_a_deed_needs_its_write() -> None:
    claimed = run(call("track_parcel", order_id="ord_7"), answer("I have refunded you."))
    assert claimed.review_kind is ReviewKind.UNGROUNDED
    assert claimed.decision.proposal == {"answer": "I have refunded you.", "plan": 3}
    assert verdicts(claimed)["deeds"]["ruling"] == "review"
    done = run(REFUND, answer("I have refunded you 40 dollars."), tools=REFUNDED)
    assert done.outcome.kind is OutcomeKind.ANSWERED
    failed = run(
        REFUND,
        answer("I have refunded you 40 dollars.", confidence=1.0),
        tools={"refund_order": PermanentError("no such order")},
    )
    assert failed.review_kind is ReviewKind.UNGROUNDED


def test_the_arguments_of_a_mere_look_up_support_nothing() -> None:
    found = run(
        call("track_parcel", order_id="ord_8"),
        answer("Your parcel ord_8 is in Lyon."),
        tools={"track_parcel": {"status": "in Lyon"}},
    )
    assert found.review_kind is ReviewKind.UNGROUNDED


def test_a_promise_needs_a_tool_behind_it() -> None:
    found = run(call("track_parcel", order_id="ord_7"), answer("You will get a refund by Friday."))
    assert found.review_kind is ReviewKind.UNGROUNDED
    assert "a refund that no tool confirmed" in (found.outcome.reason or "")
    kept = run(REFUND, answer("You will get a refund of 40 dollars."), tools=REFUNDED)
    assert kept.outcome.kind is OutcomeKind.ANSWERED


def test_the_agents_file_forbids_and_allows() -> None:
    section = AnswerSection.model_validate(
        {
            "forbidden": [{"says": [r"\bfree courier\b"], "reason": "Couriers cost money"}],
            "may_promise": ["guarantee"],
        }
    )
    manifest = RELEASE.manifest.model_copy(update={"answers": section})
    release = replace(RELEASE, manifest=manifest)
    told = [
        run_agent(release, TEXT, model=ScriptedModel([answer(text)]), tools={}, customer="cus_1")
        for text in ("You get a FREE courier.", "We guarantee it.")
    ]
    assert "Couriers cost money" in (told[0].outcome.reason or "")
    assert told[1].outcome.kind is OutcomeKind.ANSWERED


def test_a_rule_that_cannot_work_is_refused_when_the_agent_is_loaded(tmp_path: Any) -> None:
    folder = tmp_path / "parcels"
    folder.mkdir()
    for path in (*AGENT.glob("*.*"), *AGENT.glob("prompts/*")):
        target = folder / path.relative_to(AGENT)
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(path.read_bytes())
    manifest = (folder / "agent.toml").read_text()
    for rule, remedy in (
        ('says = ["(x"]\nreason = "not at all"', "no regular expression"),
        ('says = ["free"]\nreason = "not at all"\nunless = ["give"]', "give"),
    ):
        (folder / "agent.toml").write_text(f"{manifest}\n[[answers.forbidden]]\n{rule}\n")
        with pytest.raises(ConfigurationError, match=remedy):
            load_release(folder)


def test_a_wrong_form_is_mended_once_and_then_goes_to_a_person() -> None:
    leaking = answer("Fine.<|im_end|>")
    mended = run(leaking, answer("Fine."))
    assert mended.answer == "Fine."
    [gate] = [each.result for each in mended.steps if each.kind is StepKind.GATE]
    assert "markup" in (gate or {})["reason"]
    assert run(leaking, leaking).review_kind is ReviewKind.INVALID_PLAN
    assert run(say("Fine.<|im_end|>")).review_kind is ReviewKind.INVALID_PLAN


def test_a_question_is_checked_like_an_answer() -> None:
    assert run(ask("Which order is it?")).outcome.kind is OutcomeKind.ASKED
    assert run(ask("Is it sk-abcdefghijklmnop1234?")).review_kind is ReviewKind.SUSPICIOUS
    asked = run(ask("Do you mean ord_9999?"))
    assert asked.review_kind is ReviewKind.UNGROUNDED
    assert asked.decision.proposal == {"answer": "Do you mean ord_9999?", "plan": 1}


@pytest.mark.parametrize(
    "text", ["It is in Lyon.", "I have refunded you.", "It is sk-abcdefghijklmnop1234."]
)
def test_a_resumed_run_decides_the_same(text: str) -> None:
    found = run(call("track_parcel", order_id="ord_7"), answer(text))
    kept: list[Step] = [
        each
        for each in found.steps
        if each.kind not in {StepKind.OUTBOUND, StepKind.CONFIDENCE, StepKind.REVIEW}
    ]
    envelope = envelope_of_the_run()
    situation = Situation(release=RELEASE, envelope=envelope, steps=kept)
    assert decide(situation) == decide(situation)
    assert type(decide(situation)) is type(found.decision)
    assert decide(situation).evidence == found.decision.evidence  # type: ignore[union-attr]


def test_the_price_that_a_tool_gave_may_be_said() -> None:
    assert TRACKED["price_usd"] == "40.00"
    found = run(call("track_parcel", order_id="ord_7"), answer("It cost forty dollars."))
    assert found.outcome.kind is OutcomeKind.ANSWERED


def test_an_answer_too_long_to_be_sent_is_judged_by_its_length_alone() -> None:
    endless = say("I have refunded $ 999.00. " * 200_000)
    found = run(endless, endless)
    assert found.review_kind is ReviewKind.INVALID_PLAN
    assert "5,200,000 characters" in (found.outcome.reason or "")
