"""ScriptedModel and run_agent as a user's own tests use them, and the controller under them."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet_contracts.envelope import build_envelope
from fleet_contracts.errors import (
    ConfigurationError,
    PermanentError,
    TimedOut,
    TransientError,
    Unavailable,
)
from fleet_contracts.outcome import OutcomeKind, ReviewKind
from fleet_workers.agents.release import load_release
from fleet_workers.controller.decide import decide
from fleet_workers.controller.situation import Situation
from fleet_workers.models.gateway import Gateway
from fleet_workers.models.messages import ChatRequest
from fleet_workers.resilience.breakers import Breakers
from fleet_workers.store.journal import StepKind, StepState
from fleet_workers.testing import (
    MemoryJournal,
    ScriptedModel,
    answer,
    ask,
    call,
    calls,
    fail,
    garbage,
    hand_over,
    run_agent,
    say,
    stall,
)

AGENT = Path(__file__).parents[1] / "support" / "agents" / "parcels"
RELEASE = load_release(AGENT)
TRACKED = {"status": "in Lyon", "price_usd": "40.00"}
TEXT = "Where is ord_7? If it is lost, refund me 40 dollars."


def run(*script: Any, tools: dict[str, Any] | None = None, **options: Any) -> Any:
    given_tools = {"track_parcel": TRACKED} if tools is None else tools
    return run_agent(
        RELEASE, TEXT, model=ScriptedModel(script), tools=given_tools, customer="cus_1", **options
    )


# --- what a script can say -----------------------------------------------------------------------


def test_a_call_and_an_answer() -> None:
    found = run(call("track_parcel", order_id="ord_7"), answer("It is in Lyon."))
    assert found.outcome.kind is OutcomeKind.ANSWERED
    assert found.answer == "It is in Lyon."
    assert found.outcome.confidence == 0.95
    assert found.tools_used == ("track_parcel",)
    assert [each.arguments for each in found.calls] == [{"order_id": "ord_7"}]


def test_several_calls_in_one_reply_and_a_function_as_result() -> None:
    found = run(
        calls(call("track_parcel", order_id="ord_7"), call("track_parcel", order_id="ord_8")),
        answer("One in Lyon, one in Nice."),
        tools={"track_parcel": lambda order_id: {"status": "Lyon" if order_id[-1] == "7" else "N"}},
    )
    assert [each.arguments["order_id"] for each in found.calls] == ["ord_7", "ord_8"]
    values = [step.result["value"] for step in found.steps if step.kind is StepKind.TOOL]
    assert values == [{"status": "Lyon"}, {"status": "N"}]


def test_a_question_to_the_customer_and_a_hand_over() -> None:
    assert run(ask("Which order?")).outcome.kind is OutcomeKind.ASKED
    assert run(hand_over("About a loan.")).review_kind is ReviewKind.OUT_OF_SCOPE


def test_plain_text_is_an_answer_nobody_vouches_for() -> None:
    assert run(say("Hm, maybe.")).review_kind is ReviewKind.LOW_CONFIDENCE


def test_the_end_of_the_script_names_the_step() -> None:
    with pytest.raises(PermanentError, match=r"holds 1 replies .* asked for reply 2"):
        run(call("track_parcel", order_id="ord_7"))


def test_failures_before_each_step_are_spent_one_attempt_each() -> None:
    found = run(
        fail(Unavailable("down"), times=2),
        call("track_parcel", order_id="ord_7"),
        garbage(),
        answer("It is in Lyon."),
    )
    assert found.attempts == 4
    assert found.answer == "It is in Lyon."
    assert len(found.calls) == 1


def test_a_failure_without_end_uses_up_the_attempts() -> None:
    with pytest.raises(Unavailable, match="down"):
        run(fail(Unavailable("down"), times=None), answer("never"), attempts=3)


def test_a_stall_within_the_limit_delays_and_beyond_it_times_out() -> None:
    begun = time.monotonic()
    assert run(stall(0.05), answer("Late.")).attempts == 1
    assert time.monotonic() - begun >= 0.05
    with pytest.raises(TimedOut):
        run(stall(60), answer("Late."), attempts=1, model_timeout_seconds=0.05)


def test_scripts_by_key_for_many_tasks() -> None:
    model = ScriptedModel(
        scripts={"a": [answer("A")], "b": [answer("B")]},
        key=lambda messages: messages[-1]["content"].split()[-1],
    )
    assert run_agent(RELEASE, "task b", model=model, tools={}).answer == "B"
    assert run_agent(RELEASE, "task a", model=model, tools={}).answer == "A"
    with pytest.raises(PermanentError, match="No script for 'c'"):
        run_agent(RELEASE, "task c", model=model, tools={})


def test_session_turns_reach_the_model_and_do_not_shift_the_script() -> None:
    turns = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi ord_7"}]
    found = run(call("track_parcel", order_id="ord_7"), answer("ord_7 is in Lyon."), session=turns)
    assert found.answer == "ord_7 is in Lyon."


def test_mistakes_in_the_test_itself_are_named() -> None:
    with pytest.raises(ConfigurationError, match="no result: add it"):
        run(call("book_courier", order_id="ord_7"), answer("Done."))
    with pytest.raises(ConfigurationError, match="trak_parcel"):
        run(answer("x"), tools={"trak_parcel": {}})


# --- the same script over HTTP -------------------------------------------------------------------


@pytest.fixture
def gateway_to() -> Any:
    opened = []

    def open_gateway(url: str) -> Gateway:
        opened.append(
            Gateway(base_url=url, api_key="x", models={"small": "scripted"}, breakers=Breakers())
        )
        return opened[-1]

    yield open_gateway
    for each in opened:
        each.close()


def test_served_over_http_it_runs_the_same(gateway_to: Any) -> None:
    script = [call("track_parcel", order_id="ord_7"), answer("It is in Lyon.")]
    with ScriptedModel(script).serve() as server:
        found = run_agent(
            RELEASE, TEXT, model=gateway_to(server.url), tools={"track_parcel": TRACKED}
        )
        assert server.calls == 2
    assert found.answer == "It is in Lyon."
    assert found.outcome.model == "scripted"


def test_failures_over_http(gateway_to: Any) -> None:
    request = ChatRequest(messages=[{"role": "user", "content": "x"}], tools=[])
    script = [
        fail(Unavailable("busy", retry_after_seconds=7)),
        garbage(times=2),
        fail(PermanentError("no")),
        stall(1.0),
        answer("Here."),
    ]
    with ScriptedModel(script).serve() as server:
        gateway = gateway_to(server.url)
        with pytest.raises(Unavailable) as busy:
            gateway.complete(request)
        assert busy.value.retry_after_seconds == 7
        with pytest.raises(TransientError):
            gateway.complete(request)
        with pytest.raises(PermanentError, match="no"):
            gateway.complete(request)
        with pytest.raises(TimedOut):
            gateway.complete(ChatRequest(messages=request.messages, tools=[], timeout_seconds=0.2))
        assert json.loads(gateway.complete(request).tool_calls[0].arguments)["text"] == "Here."


def test_the_server_is_fast_and_takes_its_time_when_told_to(gateway_to: Any) -> None:
    request = ChatRequest(messages=[{"role": "user", "content": "x"}], tools=[])
    with ScriptedModel([answer("Here.")]).serve() as server:
        gateway = gateway_to(server.url)
        begun = time.monotonic()
        for _ in range(50):
            gateway.complete(request)
        assert time.monotonic() - begun < 2
        assert server.calls == 50
    with ScriptedModel([answer("Here.")]).serve(delay_seconds=0.2) as server:
        begun = time.monotonic()
        gateway_to(server.url).complete(request)
        assert time.monotonic() - begun >= 0.2


# --- what the controller does --------------------------------------------------------------------


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
    assert found.decision.proposal == {"answer": "Probably in Lyon."}
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
        if any(step.kind in {StepKind.CONFIDENCE, StepKind.REVIEW} for step in prefix):
            continue  # written at the very end, together with the outcome
        resumed = run(*script, tools=TOOLS, journal=MemoryJournal(prefix), task_id=TASK)
        assert resumed.decision == whole.decision
        assert [(s.kind, s.name, s.result) for s in resumed.steps] == [
            (s.kind, s.name, s.result) for s in whole.steps
        ]
