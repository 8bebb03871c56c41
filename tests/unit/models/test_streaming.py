"""Streamed answers: put together as if they had come in one, and counted where they break off."""

import json
import time
from collections.abc import Mapping
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_contracts.errors import PermanentError, TimedOut, TransientError, Unavailable
from fleet_workers.models import chat_completions, responses_api
from fleet_workers.models.answers import Unusable
from fleet_workers.models.candidates import Candidate
from fleet_workers.models.capabilities import Capabilities, Lack
from fleet_workers.models.messages import Interrupted
from fleet_workers.models.streaming import Broken, ChatPieces, ResponsePieces, collect
from support.model_endpoint import (
    Body,
    Told,
    chunk,
    completion,
    model_endpoint,
    refused,
    streamed,
    told,
    usage,
)
from unit.models.questions import question

STALL = {"stall_seconds": 0.3}
PIECES = [chunk({"role": "assistant", "content": ""}), chunk({"content": "Hel"})]
END = [chunk({"content": "lo."}), chunk({}, "stop")]
USED = {"choices": [], "usage": usage(100, 10, cached=40)}


def piece_of_call(index: int | None, call_id: str | None, name: str | None, text: str) -> Body:
    function = {"name": name, "arguments": text} if name else {"arguments": text}
    call: Body = {"function": function}
    if index is not None:
        call["index"] = index
    if call_id is not None:
        call["id"] = call_id
    return chunk({"tool_calls": [call]})


def test_an_answer_in_pieces(gateway: Any) -> None:
    with model_endpoint([streamed([*PIECES, *END, USED])]) as endpoint:
        reply = gateway(endpoint.url, **STALL).complete(question())
    assert (reply.text, reply.finish_reason, reply.model) == ("Hello.", "stop", "tested-1")
    assert (reply.prompt_tokens, reply.completion_tokens, reply.cached_tokens) == (100, 10, 40)
    assert reply.cost_usd == Decimal("0.0002")
    body = endpoint.asked.bodies[0]
    assert (body["stream"], body["stream_options"]) == (True, {"include_usage": True})
    assert body["max_completion_tokens"] == 4096


@pytest.mark.parametrize("second", [(1, "b"), (0, "b"), (None, "b")])
def test_calls_in_pieces_even_where_all_have_one_index(
    gateway: Any, second: tuple[int | None, str]
) -> None:
    index, call_id = second
    first = 0 if index is not None else None
    events = [
        piece_of_call(first, "a", "find_order", '{"order'),
        piece_of_call(first, None, None, '_id": 7}'),
        piece_of_call(index, call_id, "cancel", ""),
        piece_of_call(index, None, None, "{}"),
        chunk({}, "tool_calls"),
        USED,
    ]
    with model_endpoint([streamed(events)]) as endpoint:
        reply = gateway(endpoint.url, **STALL).complete(question())
    found = [(each.id, each.name, each.arguments) for each in reply.tool_calls]
    assert found == [("a", "find_order", '{"order_id": 7}'), ("b", "cancel", "{}")]


# --- half a stream -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cut",
    [
        streamed(PIECES, done=False, ends=False),
        streamed(PIECES, done=False),
        streamed(PIECES),
        streamed([*PIECES, {"error": {"message": "The server broke."}}], done=False),
        Told(
            parts=[*streamed(PIECES, done=False).parts, b"data: {broken\n\n"],
            headers={"Content-Type": "text/event-stream"},
        ),
    ],
)
def test_half_a_stream_is_lost_and_counts_as_reserved(gateway: Any, cut: Told) -> None:
    with model_endpoint([cut]) as endpoint:
        with pytest.raises(Interrupted) as raised:
            gateway(endpoint.url, **STALL).complete(question())
        assert len(endpoint.asked) == 1
    assert raised.value.spent.completion_tokens == 1
    assert raised.value.spent.cost_usd is None


def test_half_a_stream_that_told_its_usage_costs_that(gateway: Any) -> None:
    told_so_far = {"choices": [], "usage": usage(100, 4)}
    cut = streamed([*PIECES, told_so_far], done=False, ends=False)
    with model_endpoint([cut]) as endpoint, pytest.raises(Interrupted) as raised:
        gateway(endpoint.url, **STALL).complete(question())
    assert raised.value.spent.cost_usd == Decimal("0.00014")
    assert raised.value.spent.prompt_tokens == 100
    assert raised.value.spent.completion_tokens == 4


def test_a_stream_that_stalls_is_given_up_early(gateway: Any) -> None:
    stall = Told(
        parts=streamed([*PIECES, *END]).parts,
        headers={"Content-Type": "text/event-stream"},
        pause=10,
    )
    with model_endpoint([stall]) as endpoint:
        begun = time.monotonic()
        with pytest.raises((Interrupted, TimedOut)):
            gateway(endpoint.url, **STALL).complete(question(timeout_seconds=30))
        assert time.monotonic() - begun < 5
        assert len(endpoint.asked) == 1


def test_a_stream_of_nothing_but_signs_of_life_ends_with_its_time(gateway: Any) -> None:
    alive = Told(
        parts=[b": ping\n\n"] * 200, headers={"Content-Type": "text/event-stream"}, pause=0.05
    )
    with model_endpoint([alive]) as endpoint:
        begun = time.monotonic()
        with pytest.raises(TimedOut):
            gateway(endpoint.url, **STALL).complete(question(timeout_seconds=0.6))
        assert time.monotonic() - begun < 5


def test_what_breaks_after_the_end_was_told_is_whole(gateway: Any) -> None:
    cut = streamed([*PIECES, *END], done=False, ends=False)
    with model_endpoint([cut]) as endpoint:
        reply = gateway(endpoint.url, **STALL).complete(question())
    assert reply.text == "Hello."
    assert reply.cost_usd is None  # so that it counts as reserved


@pytest.mark.parametrize(
    ("first", "error"),
    [
        ({"error": {"message": "Overloaded.", "code": 529}}, Unavailable),
        ({"error": {"message": "Too long.", "code": 400}}, PermanentError),
    ],
)
def test_an_error_before_any_piece_cost_nothing(
    gateway: Any, first: Body, error: type[Exception]
) -> None:
    with model_endpoint([streamed([first])]) as endpoint, pytest.raises(error) as raised:
        gateway(endpoint.url, **STALL).complete(question())
    assert not isinstance(raised.value, Interrupted)


# --- endpoints that stream in a way of their own -------------------------------------------------


def test_an_endpoint_that_cannot_tell_usage_in_a_stream_is_asked_for_all_at_once(
    gateway: Any,
) -> None:
    def answer(_path: str, body: Body) -> Told:
        if "stream_options" in body:
            return refused("Unknown field: stream_options")
        return streamed([*PIECES, *END]) if body.get("stream") else told(completion("Hello."))

    with model_endpoint(answer) as endpoint:
        opened = gateway(endpoint.url, **STALL)
        replies = [opened.complete(question()) for _ in range(2)]
    assert [each.cost_usd for each in replies] == [Decimal("0.0002")] * 2
    assert [body.get("stream") for body in endpoint.asked.bodies] == [True, None, None]


def test_one_that_passes_over_the_wish_is_not_streamed_from_again(gateway: Any) -> None:
    def answer(_path: str, body: Body) -> Told:
        return streamed([*PIECES, *END]) if body.get("stream") else told(completion("Hello."))

    capabilities = Capabilities()
    with model_endpoint(answer) as endpoint:
        opened = gateway(endpoint.url, capabilities=capabilities, **STALL)
        costs = [opened.complete(question()).cost_usd for _ in range(2)]
    assert costs == [None, Decimal("0.0002")]
    assert capabilities.lacks(Candidate(model="tested")) == {Lack.STREAM_USAGE}


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_one_that_does_not_stream_is_understood(gateway: Any, api: str) -> None:
    output = [{"type": "message", "content": [{"type": "output_text", "text": "Hello."}]}]
    response = {"output": output, "usage": {"input_tokens": 100, "output_tokens": 10}}
    with model_endpoint([told(completion("Hello.") if api == "chat" else response)]) as endpoint:
        reply = gateway(endpoint.url, api=api, **STALL).complete(question())
    assert (reply.text, reply.cost_usd) == ("Hello.", Decimal("0.0002"))


@pytest.mark.parametrize("status", [429, 500, 400, 404])
def test_refusals_before_a_stream_are_classed_as_ever(gateway: Any, status: int) -> None:
    with model_endpoint([refused("No.", status, Retry_After="9")]) as endpoint:
        with pytest.raises(Exception, match=r"No\.|no model") as plain:
            gateway(endpoint.url).complete(question())
        with pytest.raises(type(plain.value)) as raised:
            gateway(endpoint.url, **STALL).complete(question())
    assert str(raised.value) == str(plain.value)


# --- the Responses API ---------------------------------------------------------------------------


def test_a_response_in_pieces_and_one_cut_off(gateway: Any) -> None:
    response = {
        "status": "completed",
        "model": "tested-1",
        "output": [{"type": "message", "content": [{"type": "output_text", "text": "Hello."}]}],
        "usage": {"input_tokens": 100, "output_tokens": 10},
    }
    events: list[Body] = [
        {"type": "response.created", "response": {"status": "in_progress", "output": []}},
        {"type": "response.output_text.delta", "delta": "Hel"},
        {"type": "response.output_text.delta", "delta": "lo."},
    ]
    whole = streamed([*events, {"type": "response.completed", "response": response}], done=False)
    with model_endpoint([whole]) as endpoint:
        reply = gateway(endpoint.url, api="responses", **STALL).complete(question())
    assert (reply.text, reply.cost_usd) == ("Hello.", Decimal("0.0002"))
    failed = {**response, "status": "failed", "error": {"code": "server_error", "message": "Ow."}}
    for last, cost in (
        ([], None),
        ([{"type": "error", "message": "Ow.", "code": "server_error"}], None),
        ([{"type": "response.failed", "response": failed}], Decimal("0.0002")),
    ):
        with model_endpoint([streamed([*events, *last], done=False)]) as endpoint:
            with pytest.raises(Interrupted) as raised:
                gateway(endpoint.url, api="responses", **STALL).complete(question())
            assert raised.value.spent.cost_usd == cost


# --- anything at all -----------------------------------------------------------------------------

NAMES = (
    *("choices", "delta", "content", "tool_calls", "function", "name", "arguments", "index"),
    *("id", "usage", "message", "finish_reason", "type", "response", "output", "error", "model"),
    *("prompt_tokens", "completion_tokens", "status", "code", "call_id", "incomplete_details"),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(NAMES),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(events=st.lists(JSON, max_size=5))
def test_no_event_is_so_odd_that_it_is_not_classed(events: list[object]) -> None:
    for pieces in (ChatPieces(), ResponsePieces()):
        try:
            found = collect(events, pieces, "here")
        except (Broken, TransientError, PermanentError, Unusable):
            continue
        assert isinstance(found, Mapping)


@given(body=JSON)
def test_no_reply_is_so_odd_that_it_is_not_classed(body: object) -> None:
    for form in (chat_completions, responses_api):
        try:
            found = form.read_answer(body, question(), "here")
        except (TransientError, PermanentError, Unusable):
            continue
        assert found.text is None or isinstance(found.text, str)
        assert all(isinstance(call.arguments, str) for call in found.tool_calls)


@given(text=st.text(max_size=60), cuts=st.lists(st.integers(0, 60), max_size=8))
def test_however_it_is_cut_the_text_is_the_same(text: str, cuts: list[int]) -> None:
    arguments = json.dumps({"a": text})
    places = sorted({0, *(min(each, len(arguments)) for each in cuts), len(arguments)})
    parts = [arguments[a:b] for a, b in pairwise(places)]
    events = [piece_of_call(0, "c", "f", "")]
    events += [piece_of_call(0, None, None, part) for part in parts]
    events += [chunk({"content": part}) for part in parts]
    whole = collect([*events, chunk({}, "stop")], ChatPieces(), "here")
    message = whole["choices"][0]["message"]
    assert message["content"] == message["tool_calls"][0]["function"]["arguments"] == arguments
