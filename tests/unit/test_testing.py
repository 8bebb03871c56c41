"""ScriptedModel and run_agent as a user's own tests use them."""

import json
import time
from typing import Any

import pytest

from fleet_contracts.errors import (
    ConfigurationError,
    PermanentError,
    TimedOut,
    TransientError,
    Unavailable,
)
from fleet_contracts.outcome import OutcomeKind, ReviewKind
from fleet_workers.models.asking import Asking
from fleet_workers.models.candidates import MAIN, Candidate
from fleet_workers.models.capabilities import Capabilities
from fleet_workers.models.endpoint import Address
from fleet_workers.models.gateway import Gateway
from fleet_workers.models.messages import ChatRequest
from fleet_workers.models.prices import load_prices
from fleet_workers.resilience.breakers import Breakers
from fleet_workers.store.journal import StepKind
from fleet_workers.testing import (
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
from support.parcels import RELEASE, TEXT, TRACKED, run

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
            Gateway(
                addresses=[Address(name=MAIN, base_url=url, api_key="x")],
                candidates={"small": [Candidate(model="scripted")]},
                breakers=Breakers(),
                prices=load_prices(None),
                asking=Asking(capabilities=Capabilities()),
            )
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
