"""The offline model's server as OpenAI's own SDK sees it."""

from collections.abc import Iterator
from typing import Any

import httpx2
import openai
import pytest

from fleet_workers.embedded.offline_model import create_app
from support.asgi_server import serving
from support.offline_domains import LIBRARY, LIBRARY_SCOPE, body


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(create_app()) as url:
        yield url


@pytest.fixture
def client(address: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client:
        yield client


def ask(client: openai.OpenAI, text: str, **more: Any) -> Any:
    return client.chat.completions.create(**body(LIBRARY_SCOPE, text, LIBRARY), **more)


def test_a_tool_call_comes_back_with_usage(client: openai.OpenAI) -> None:
    reply = ask(client, "renew L-2 please", seed=7)
    assert reply.model == "offline-small"
    assert reply.choices[0].finish_reason == "tool_calls"
    call = reply.choices[0].message.tool_calls[0]
    assert (call.function.name, call.function.arguments) == ("renew_loan", '{"loan_id": "L-2"}')
    assert reply.usage.prompt_tokens > 100
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens


def test_a_stream_carries_the_same_call_and_usage(client: openai.OpenAI) -> None:
    whole = ask(client, "renew L-2 please")
    name, arguments, usage, reasons = "", "", None, []
    for chunk in ask(
        client, "renew L-2 please", stream=True, stream_options={"include_usage": True}
    ):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            reasons.append(choice.finish_reason)
            for call in choice.delta.tool_calls or []:
                name += call.function.name or ""
                arguments += call.function.arguments or ""
    call = whole.choices[0].message.tool_calls[0]
    assert (name, arguments) == (call.function.name, call.function.arguments)
    assert reasons[-1] == "tool_calls"
    assert usage == whole.usage


def test_equal_requests_get_equal_replies(client: openai.OpenAI) -> None:
    assert ask(client, "list my loans") == ask(client, "list my loans")


def test_without_tools_a_text_streams(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="gpt-x", messages=[{"role": "user", "content": "hello"}], stream=True
    )
    chunks = list(stream)
    assert all(chunk.model == "offline-gpt-x" for chunk in chunks)
    assert "offline model" in "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


def test_tool_choice_is_obeyed(client: openai.OpenAI) -> None:
    none = ask(client, "renew L-2 please", tool_choice="none")
    assert none.choices[0].message.tool_calls is None
    forced = {"type": "function", "function": {"name": "opening_hours"}}
    named = ask(client, "renew L-2 please", tool_choice=forced)
    assert named.choices[0].message.tool_calls[0].function.name == "opening_hours"
    only = client.chat.completions.create(
        model="offline-large",
        messages=[{"role": "user", "content": "blah"}],
        tools=LIBRARY,
        tool_choice="required",
    )
    assert only.choices[0].message.tool_calls


def test_models_and_health(client: openai.OpenAI, address: str) -> None:
    listed = [model.id for model in client.models.list()]
    assert listed == ["offline-small", "offline-medium", "offline-large"]
    assert httpx2.get(f"{address}/healthz").json() == {"status": "ok"}


@pytest.mark.parametrize(
    ("content", "parameter"),
    [
        (b"", None),
        (b"{", None),
        (b"[1]", None),
        (b"\xff\xfe", None),
        (b"[" * 100_000, None),
        (b'{"model": "m"}', "messages"),
        (b'{"model": "", "messages": [{"role": "user"}]}', "model"),
        (b'{"model": "m", "messages": []}', "messages"),
        (b'{"model": "m", "messages": ["x"]}', "messages[0]"),
        (b'{"model": "m", "messages": [{"role": "user", "content": 3}]}', "messages[0].content"),
        (b'{"model": "m", "messages": [{"role": "user"}], "tools": [{}]}', "tools[0]"),
        (b'{"model": "m", "messages": [{"role": "user"}], "tool_choice": "x"}', "tool_choice"),
        (b'{"model": "m", "messages": [{"role": "user"}], "n": 0}', "n"),
    ],
)
def test_a_bad_body_gets_400_that_names_the_field(
    address: str, content: bytes, parameter: str | None
) -> None:
    reply = httpx2.post(f"{address}/v1/chat/completions", content=content)
    assert reply.status_code == 400
    error = reply.json()["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", parameter)
    assert error["message"]


def test_the_sdk_raises_its_own_errors(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="messages"):
        client.chat.completions.create(model="offline-small", messages=[])
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-9")
