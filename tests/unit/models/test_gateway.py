"""The gateway before endpoints that fail in every way seen in the wild: what is raised and paid."""

import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from typing import Any

import pytest

from fleet_contracts.errors import (
    BreakerOpen,
    ConfigurationError,
    PermanentError,
    TimedOut,
    TransientError,
    Unavailable,
)
from fleet_workers.models.candidates import FALLBACK, Candidate
from fleet_workers.models.endpoint import MOST_REPLY_BYTES
from fleet_workers.models.messages import Interrupted
from fleet_workers.resilience.breakers import Breakers
from support.model_endpoint import Told, completion, model_endpoint, refused, told, usage
from unit.models.questions import question

CALL = {"id": "c1", "type": "function", "function": {"name": "find_order", "arguments": "{}"}}
AWAY = "http://127.0.0.1:9/v1"
HELLO = told(completion("Hello."))


def test_an_answer_with_what_it_took(gateway: Any) -> None:
    with model_endpoint([told(completion("Hello.", usage=usage(100, 10)))]) as endpoint:
        reply = gateway(endpoint.url).complete(question())
    assert (reply.text, reply.model, reply.finish_reason) == ("Hello.", "tested-1", "stop")
    assert (reply.prompt_tokens, reply.completion_tokens, reply.endpoint) == (100, 10, "main")
    assert reply.cost_usd == Decimal("0.0002")
    assert 0 < reply.duration_seconds < 5


def test_every_call_tells_the_largest_answer_that_is_reserved(gateway: Any) -> None:
    with model_endpoint([HELLO]) as endpoint:
        asked = gateway(endpoint.url, most_tokens=500)
        for wanted in (None, 50, 9999):
            asked.complete(question(max_output_tokens=wanted))
    limits = [body["max_completion_tokens"] for body in endpoint.asked.bodies]
    assert limits == [500, 50, 500]
    assert not any("max_tokens" in body for body in endpoint.asked.bodies)


# --- waiting and trying again --------------------------------------------------------------------


def in_seconds(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({"Retry_After": "7"}, 7, 7),
        ({"Retry_After": "DATE"}, 10, 100),
        ({"retry_after_ms": "1500", "Retry_After": "2"}, 1.5, 1.5),
        ({"retry_after_ms": "soon", "Retry_After": "2"}, 2, 2),
    ],
)
def test_an_overloaded_endpoint_says_when_to_come_back(
    gateway: Any, headers: dict[str, str], least: float, most: float
) -> None:
    sent = {name: value.replace("DATE", in_seconds(100)) for name, value in headers.items()}
    with (
        model_endpoint([refused("Too many.", 429, **sent)]) as endpoint,
        pytest.raises(Unavailable, match="429") as raised,
    ):
        gateway(endpoint.url).complete(question())
    assert raised.value.retry_after_seconds is not None
    assert least <= raised.value.retry_after_seconds <= most
    assert len(endpoint.asked) == 1


@pytest.mark.parametrize(
    "blip",
    [
        refused("Oops.", 500),
        refused("Busy.", 503),
        refused("Too many.", 429),
        refused("Too many.", 429, retry_after_ms="20"),
        refused("Too many.", 429, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"),
        Told(parts=[b"<html>It works!</html>"]),
        Told(parts=[b"<html>It works!</html>"], headers={"Content-Type": "text/html"}),
        Told(parts=[b'{"choices": [' + b"[" * 100_000]),
        Told(parts=[b"\xff\xfe"]),
        told({"error": {"message": "Overloaded.", "code": 502}}),
        told({"error": "Overloaded."}),
    ],
)
def test_a_blip_is_tried_once_more(gateway: Any, blip: Told) -> None:
    with model_endpoint([blip, HELLO]) as endpoint:
        assert gateway(endpoint.url).complete(question()).text == "Hello."
        assert len(endpoint.asked) == 2
    with model_endpoint([blip]) as endpoint:
        with pytest.raises(Unavailable) as raised:
            gateway(endpoint.url).complete(question())
        assert not isinstance(raised.value, Interrupted)
        assert len(endpoint.asked) == 2


def test_json_under_another_name_is_read_all_the_same(gateway: Any) -> None:
    reply = Told(parts=HELLO.parts, headers={"Content-Type": "text/plain; charset=utf-8"})
    with model_endpoint([reply]) as endpoint:
        assert gateway(endpoint.url).complete(question()).text == "Hello."


@pytest.mark.parametrize(
    ("reply", "error", "words"),
    [
        (refused("Bad messages."), PermanentError, "Bad messages"),
        (refused("Too large.", 413), PermanentError, "Too large"),
        (refused("No key.", 401), ConfigurationError, "OPENAI_API_KEY"),
        (refused("No.", 403), ConfigurationError, "OPENAI_API_KEY"),
        (refused("The model `x` does not exist.", 404), ConfigurationError, "FLEET_MODEL_"),
        (refused("Pay.", 402, Retry_After="9"), Unavailable, "balance"),
        (refused("Late.", 504), TimedOut, "504"),
        (told({"error": {"message": "No.", "code": 400}}), PermanentError, "No."),
    ],
)
def test_refusals_are_classed(
    gateway: Any, reply: Told, error: type[Exception], words: str
) -> None:
    with model_endpoint([reply]) as endpoint:
        with pytest.raises(error, match=words):
            gateway(endpoint.url, api="chat").complete(question())
        assert len(endpoint.asked) == 1


def test_a_refusal_does_not_repeat_a_whole_request(gateway: Any) -> None:
    with (
        model_endpoint([refused("x" * 100_000)]) as endpoint,
        pytest.raises(PermanentError) as raised,
    ):
        gateway(endpoint.url).complete(question())
    assert len(str(raised.value)) < 1000


def test_an_endpoint_that_is_not_there(gateway: Any) -> None:
    with pytest.raises(Unavailable, match="OPENAI_BASE_URL") as raised:
        gateway(AWAY).complete(question())
    assert not isinstance(raised.value, Interrupted)  # nothing can have been spent


# --- time ----------------------------------------------------------------------------------------


def test_a_late_first_byte_is_waited_for_as_long_as_allowed(gateway: Any) -> None:
    late = Told(parts=HELLO.parts, wait=1.0)
    with model_endpoint([late]) as endpoint:
        opened = gateway(endpoint.url)
        assert opened.complete(question(timeout_seconds=5)).text == "Hello."
        begun = time.monotonic()
        with pytest.raises(TimedOut):
            opened.complete(question(timeout_seconds=0.1))
        assert time.monotonic() - begun < 0.9
        assert len(endpoint.asked) == 2  # what may have cost something is not asked again


def test_a_reply_that_drips_holds_no_slot_beyond_its_time(gateway: Any) -> None:
    drip = Told(parts=[bytes([each]) for each in HELLO.parts[0]], pause=0.05)
    with model_endpoint([drip]) as endpoint:
        begun = time.monotonic()
        with pytest.raises(TimedOut):
            gateway(endpoint.url).complete(question(timeout_seconds=0.5))
        assert time.monotonic() - begun < 4


def test_repeats_end_with_the_questions_time(gateway: Any) -> None:
    with model_endpoint([Told(parts=[b"{}"], status=500, wait=0.97)]) as endpoint:
        begun = time.monotonic()
        with pytest.raises(TransientError):
            gateway(endpoint.url, endpoint.url).complete(question(timeout_seconds=1))
        assert time.monotonic() - begun < 3
        assert len(endpoint.asked) == 1


# --- replies that hold no answer -----------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        {"choices": []},
        {"choices": None},
        {"choices": [None]},
        {"choices": [{"message": "x"}]},
        {"choices": [{"message": None}]},
        {"choices": {"0": {}}},
        {},
        [],
        None,
        7,
        {"choices": [{"message": {"tool_calls": [{"id": "c"}]}}]},
        {"choices": [{"message": {"tool_calls": [None]}}]},
        {"choices": [{"message": {"tool_calls": [{"function": {"name": None}}]}}]},
    ],
)
def test_a_reply_without_an_answer_is_lost_and_may_have_cost_something(
    gateway: Any, body: object
) -> None:
    with model_endpoint([told(body)]) as endpoint:
        with pytest.raises(Interrupted) as raised:
            gateway(endpoint.url).complete(question())
        assert raised.value.spent.cost_usd is None
        assert len(endpoint.asked) == 1
    if isinstance(body, dict):
        with (
            model_endpoint([told({**body, "usage": usage(100, 10)})]) as endpoint,
            pytest.raises(Interrupted) as raised,
        ):
            gateway(endpoint.url).complete(question())
        assert raised.value.spent.cost_usd == Decimal("0.0002")
        assert raised.value.spent.completion_tokens == 10


def test_an_error_after_tokens_were_made_counts_them(gateway: Any) -> None:
    failed = {"error": {"message": "Broke.", "code": 502}, "usage": usage(100, 10)}
    with (
        model_endpoint([told(failed)]) as endpoint,
        pytest.raises(Interrupted, match="Broke") as raised,
    ):
        gateway(endpoint.url).complete(question())
    assert raised.value.spent.cost_usd == Decimal("0.0002")


def test_a_reply_cut_off_and_a_reply_too_long(gateway: Any) -> None:
    cut = Told(parts=[b'{"choices": ['], ends=False)
    long = Told(parts=[b'"' + b"x" * (1024 * 1024)] * (MOST_REPLY_BYTES // 1024 // 1024 + 1))
    for reply in (cut, long):
        with model_endpoint([reply]) as endpoint:
            with pytest.raises(Interrupted):
                gateway(endpoint.url).complete(question())
            assert len(endpoint.asked) == 1


# --- odd answers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_why_it_ended_is_passed_on(gateway: Any, reason: str) -> None:
    with model_endpoint([told(completion("Hel", finish_reason=reason))]) as endpoint:
        assert gateway(endpoint.url).complete(question()).finish_reason == reason


@pytest.mark.parametrize(
    ("arguments", "text"),
    [("{broken", "{broken"), ({"a": 1}, '{"a": 1}'), (None, "{}"), ("", "{}"), ([1], "[1]")],
)
def test_arguments_are_passed_on_as_text_however_broken(
    gateway: Any, arguments: object, text: str
) -> None:
    call = {"function": {"name": "find_order", "arguments": arguments}}
    with model_endpoint([told(completion(None, tool_calls=[call]))]) as endpoint:
        reply = gateway(endpoint.url).complete(question())
    assert [(each.id, each.name) for each in reply.tool_calls] == [("call_0", "find_order")]
    assert reply.tool_calls[0].arguments == text


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo."}], "Hello."),
        ([7, None], None),
        (None, None),
        ("Nul \0 and \ud800.", "Nul \0 and \ud800."),
    ],
)
def test_content_in_parts_or_none(gateway: Any, content: Any, text: str | None) -> None:
    with model_endpoint([told(completion(content, tool_calls=[CALL]))]) as endpoint:
        assert gateway(endpoint.url).complete(question()).text == text


@pytest.mark.parametrize(
    "found",
    [
        None,
        {},
        "many",
        {"prompt_tokens": 5},
        {"prompt_tokens": "5", "completion_tokens": 5},
        {"prompt_tokens": -1, "completion_tokens": 5},
        {"prompt_tokens": 10**30, "completion_tokens": 5},
        {"prompt_tokens": True, "completion_tokens": True},
        {"prompt_tokens": 0, "completion_tokens": 0},
    ],
)
def test_usage_that_makes_no_sense_is_not_taken_for_nothing(gateway: Any, found: object) -> None:
    with model_endpoint([told(completion("Hello.", usage=found))]) as endpoint:
        reply = gateway(endpoint.url).complete(question())
    assert reply.cost_usd is None
    assert (reply.prompt_tokens, reply.completion_tokens) == (0, 0)


@pytest.mark.parametrize(
    ("found", "cached"),
    [
        (usage(100, 10, cached=80), 80),
        (usage(100, 10, cached=500), 100),
        (usage(100, 10) | {"prompt_cache_hit_tokens": 40}, 40),
        (usage(100, 10) | {"prompt_tokens_details": None}, 0),
    ],
)
def test_tokens_from_a_prefix_cache_are_counted(gateway: Any, found: Any, cached: int) -> None:
    with model_endpoint([told(completion(usage=found))]) as endpoint:
        assert gateway(endpoint.url).complete(question()).cached_tokens == cached


# --- other candidates ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "trouble",
    [
        refused("Busy.", 503),
        refused("Too many.", 429, Retry_After="60"),
        refused("Pay.", 402),
        None,
    ],
)
def test_another_endpoint_answers_while_the_first_is_away(
    gateway: Any, trouble: Told | None
) -> None:
    with model_endpoint([HELLO]) as other, model_endpoint([trouble or HELLO]) as first:
        url = first.url if trouble else AWAY
        reply = gateway(url, other.url).complete(question())
    assert (reply.text, reply.endpoint) == ("Hello.", FALLBACK)
    assert other.asked.bodies[0]["model"] == "second"
    assert reply.cost_usd == Decimal("0.0004")


def test_models_of_a_list_are_asked_in_order(gateway: Any) -> None:
    def answer(_path: str, body: dict[str, Any]) -> Told:
        return HELLO if body["model"] == "c" else refused("Busy.", 429, Retry_After="60")

    listed = [Candidate(model=name) for name in "abc"]
    with model_endpoint(answer) as endpoint:
        gateway(endpoint.url, candidates={"small": listed}).complete(question(tier="large"))
    assert [body["model"] for body in endpoint.asked.bodies] == ["a", "b", "c"]


@pytest.mark.parametrize("final", [refused("Bad.", 400), told({})])
def test_what_is_refused_or_may_have_cost_something_is_asked_nowhere_else(
    gateway: Any, final: Told
) -> None:
    with model_endpoint([HELLO]) as other, model_endpoint([final]) as first:
        with pytest.raises((PermanentError, Interrupted)):
            gateway(first.url, other.url, api="chat").complete(question())
        assert len(other.asked) == 0


def test_a_fallback_that_refuses_does_not_end_the_task(gateway: Any) -> None:
    with (
        model_endpoint([refused("No key.", 401)]) as other,
        model_endpoint([refused("Busy.", 429, Retry_After="60")]) as first,
        pytest.raises(Unavailable) as raised,
    ):
        gateway(first.url, other.url).complete(question())
    assert raised.value.retry_after_seconds == 60


def test_breakers_are_by_endpoint_and_model(gateway: Any) -> None:
    breakers = Breakers(failures=1, open_seconds=60)
    with model_endpoint([HELLO]) as other, model_endpoint([refused("Busy.", 503)]) as first:
        opened = gateway(first.url, other.url, breakers=breakers)
        opened.complete(question())
        asked_before = len(first.asked)
        assert opened.complete(question()).endpoint == FALLBACK
        assert len(first.asked) == asked_before == 1
    assert breakers.states() == {"model tested": "open", "model second at fallback": "closed"}
    alone = gateway(AWAY, breakers=breakers)
    with pytest.raises(BreakerOpen):  # nothing was asked, so that no attempt is counted
        alone.complete(question())


def test_connections_are_used_again(gateway: Any) -> None:
    with model_endpoint([HELLO]) as endpoint:
        opened = gateway(endpoint.url)
        for _ in range(5):
            opened.complete(question())
        assert len(endpoint.asked.connections) == 1


def test_a_lone_surrogate_can_be_asked(gateway: Any) -> None:
    with model_endpoint([HELLO]) as endpoint:
        messages = [{"role": "user", "content": "odd \ud800 \0 é"}]
        gateway(endpoint.url).complete(question(messages=messages))
    assert endpoint.asked.bodies[0]["messages"] == messages
