"""What the controller does with what a model says, and with what a crash left."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet_contracts.envelope import build_envelope
from fleet_contracts.errors import (
    PermanentError,
    TimedOut,
    Unavailable,
)
from fleet_contracts.outcome import OutcomeKind, ReviewKind
from fleet_workers.controller.decide import decide
from fleet_workers.controller.situation import Situation
from fleet_workers.store.journal import StepKind, StepState
from fleet_workers.testing import (
    MemoryJournal,
    answer,
    ask,
    call,
    calls,
    fail,
    hand_over,
    say,
)
from support.parcels import RELEASE, TEXT, TRACKED, run


def test_an_unknown_tool_goes_to_a_person() -> None:
    found = run(call("delete_everything", order_id="ord_7"), answer("x"))
    assert found.review_kind is ReviewKind.UNKNOWN_TOOL
    assert found.decision.proposal["tool"] == "delete_everything"


def test_wrong_arguments_may_be_mended_once() -> None:
    mended = run(
        call("track_parcel", order_id="seven"),
        call("track_parcel", order_id="ord_7"),
        answer("It is in Lyon."),
    )
    assert mended.outcome.kind is OutcomeKind.ANSWERED
    assert len(mended.calls) == 1
    stubborn = run(call("track_parcel", order_id="7"), call("track_parcel", order_id="seven"))
    assert stubborn.review_kind is ReviewKind.INVALID_PLAN
    assert stubborn.calls == ()


def test_low_confidence_goes_to_a_person_with_the_draft() -> None:
    found = run(answer("Probably in Lyon.", confidence=0.4))
    assert found.review_kind is ReviewKind.LOW_CONFIDENCE
    assert found.decision.proposal == {"answer": "Probably in Lyon.", "plan": 1}
    assert found.outcome.confidence == 0.4


def test_an_amount_that_nothing_supports_is_ungrounded() -> None:
    found = run(call("track_parcel", order_id="ord_7"), answer("You get $ 999.00 back."))
    assert found.review_kind is ReviewKind.UNGROUNDED
    assert "999.00" in found.outcome.reason


def test_over_the_limit_a_person_approves_the_exact_action() -> None:
    found = run(call("refund_order", order_id="ord_7", amount_usd="50.01"), tools={})
    assert found.review_kind is ReviewKind.APPROVAL
    assert found.decision.proposal["tool"] == "refund_order"
    assert found.decision.proposal["arguments"] == {"order_id": "ord_7", "amount_usd": "50.01"}
    assert found.calls == ()
    at_the_limit = run(
        call("refund_order", order_id="ord_7", amount_usd="50"),
        answer("Refunded."),
        tools={"refund_order": {"ok": True}},
    )
    assert at_the_limit.outcome.kind is OutcomeKind.ANSWERED


def test_a_write_that_is_done_is_not_done_again() -> None:
    refund = call("refund_order", order_id="ord_7", amount_usd="40")
    found = run(refund, refund, answer("Refunded once."), tools={"refund_order": {"ok": True}})
    assert len(found.calls) == 1
    assert [step.name for step in found.steps if step.kind is StepKind.GATE] == ["repeat"]


def test_the_same_write_in_other_words_is_not_done_again_either() -> None:
    first = call("refund_order", order_id="ord_7", amount_usd="40")
    second = call("refund_order", order_id="ord_7", amount_usd=40.0)
    found = run(first, second, answer("Refunded once."), tools={"refund_order": {"ok": True}})
    assert len(found.calls) == 1


def test_a_tool_that_refuses_is_told_to_the_model() -> None:
    found = run(
        call("track_parcel", order_id="ord_7"),
        hand_over("The parcel cannot be found."),
        tools={"track_parcel": PermanentError("no such order")},
    )
    assert found.review_kind is ReviewKind.OUT_OF_SCOPE


def test_failed_model_calls_use_up_no_model_calls() -> None:
    found = run(fail(Unavailable("down"), times=9), answer("Back."), attempts=10)
    assert found.answer == "Back."


def test_too_many_model_calls_go_to_a_person() -> None:
    refund = call("refund_order", order_id="ord_7", amount_usd="40")
    found = run(*[refund] * 6, answer("Too late."), tools={"refund_order": {"ok": True}})
    assert found.review_kind is ReviewKind.OVER_BUDGET
    assert "6 model calls" in found.outcome.reason


def test_too_many_tool_calls_go_to_a_person() -> None:
    many = [call("track_parcel", order_id=f"ord_{number}") for number in range(6)]
    found = run(*many[:5], many[5])
    assert found.review_kind is ReviewKind.OVER_BUDGET
    assert len(found.calls) == 5


# --- crashes -------------------------------------------------------------------------------------


def crashed_in(*script: Any, tool: str) -> Any:
    """The steps of a run whose worker died inside the call of a tool."""

    class Killed(BaseException):
        pass

    def die(**_arguments: Any) -> None:
        raise Killed

    journal = MemoryJournal()
    with pytest.raises(Killed):
        run(*script, tools={tool: die}, journal=journal, task_id=TASK)
    assert journal.steps()[-1].state is StepState.STARTED
    return journal


TASK = build_envelope(tenant="acme", agent="parcels", input="x").id


def test_an_idempotent_write_is_repeated_with_its_key() -> None:
    script = [call("refund_order", order_id="ord_7", amount_usd="40"), answer("Refunded.")]
    journal = crashed_in(*script, tool="refund_order")
    key = journal.steps()[-1].request["key"]
    found = run(*script, tools={"refund_order": {"ok": True}}, journal=journal, task_id=TASK)
    assert [(each.key, each.resumed) for each in found.calls] == [(key, True)]
    assert found.answer == "Refunded."
    assert sum(step.kind is StepKind.TOOL for step in found.steps) == 1


def test_a_write_that_cannot_be_repeated_is_in_doubt() -> None:
    script = [call("book_courier", order_id="ord_7"), answer("Booked.")]
    journal = crashed_in(*script, tool="book_courier")
    found = run(*script, tools={"book_courier": {"ok": True}}, journal=journal, task_id=TASK)
    assert found.review_kind is ReviewKind.IN_DOUBT
    assert found.calls == ()
    assert found.decision.proposal == {
        "tool": "book_courier",
        "arguments": {"order_id": "ord_7"},
        "plan": 1,
        "call": 0,
    }


def test_after_an_unknown_end_a_write_without_a_key_is_in_doubt_too() -> None:
    outcomes = iter([TimedOut("no answer"), {"ok": True}])
    found = run(
        call("book_courier", order_id="ord_7"),
        answer("Booked."),
        tools={"book_courier": lambda **_arguments: next(outcomes)},
    )
    assert found.review_kind is ReviewKind.IN_DOUBT


# --- properties ----------------------------------------------------------------------------------

LINES = st.sampled_from(
    [
        call("track_parcel", order_id="ord_7"),
        call("track_parcel", order_id="seven"),
        call("refund_order", order_id="ord_7", amount_usd="40"),
        call("refund_order", order_id="ord_8", amount_usd="4000"),
        calls(
            call("track_parcel", order_id="ord_1"), call("note_damage", order_id="ord_1", text="d")
        ),
        calls(call("track_parcel", order_id="ord_1"), answer("too early")),
        call("unknown_tool"),
        say("plain"),
        say(""),
    ]
)
ENDS = st.sampled_from([answer("Done."), answer("You get $ 7.77.", 0.9), ask("Which?")])
TOOLS = {
    "track_parcel": TRACKED,
    "refund_order": PermanentError("refused"),
    "note_damage": {"ok": True},
}


@settings(max_examples=80, deadline=None)
@given(lines=st.lists(LINES, max_size=5), end=ENDS)
def test_any_prefix_of_a_journal_resumes_to_the_same_end(lines: list[Any], end: Any) -> None:
    script = [*lines, end]
    whole = run(*script, tools=TOOLS, task_id=TASK)
    envelope = build_envelope(id=TASK, tenant="acme", agent="parcels", input=TEXT, customer="cus_1")
    for length in range(len(whole.steps)):
        prefix = whole.steps[:length]
        situation = Situation(release=RELEASE, envelope=envelope, steps=prefix)
        assert decide(situation) == decide(situation)
        if any(
            step.kind in {StepKind.OUTBOUND, StepKind.CONFIDENCE, StepKind.REVIEW}
            for step in prefix
        ):
            continue  # written at the very end, together with the outcome
        resumed = run(*script, tools=TOOLS, journal=MemoryJournal(prefix), task_id=TASK)
        assert resumed.decision == whole.decision
        assert [(s.kind, s.name, s.result) for s in resumed.steps] == [
            (s.kind, s.name, s.result) for s in whole.steps
        ]
