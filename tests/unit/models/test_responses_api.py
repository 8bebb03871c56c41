"""The Responses API: the same questions and answers in its own form, and nothing kept there."""

from decimal import Decimal
from typing import Any

import pytest

from fleet_contracts.errors import PermanentError, Unavailable
from fleet_workers.models.messages import Interrupted
from support.model_endpoint import Body, model_endpoint, refused, told
from unit.models.questions import TOOL, question

USAGE = {"input_tokens": 100, "output_tokens": 10, "input_tokens_details": {"cached_tokens": 60}}
TEXT = {"type": "message", "content": [{"type": "output_text", "text": "Hello."}]}
CALL = {"type": "function_call", "call_id": "c2", "name": "find_order", "arguments": '{"a": 1}'}


def response(*output: Any, **changes: Any) -> Body:
    return {
        "status": "completed",
        "model": "tested-1",
        "output": list(output),
        "usage": USAGE,
        "error": None,
        **changes,
    }


def test_a_conversation_is_told_as_items_and_nothing_is_kept(gateway: Any) -> None:
    messages = [
        {"role": "system", "content": "Help."},
        {"role": "user", "content": "Where is order 7?"},
        {
            "role": "assistant",
            "content": "Let me see.",
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "find_order", "arguments": "{}"},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": '{"result": "Lyon"}'},
        {"role": "assistant", "content": None},
    ]
    with model_endpoint([told(response(TEXT))]) as endpoint:
        opened = gateway(endpoint.url, api="responses", most_tokens=77)
        opened.complete(question(messages=messages, parallel_tool_calls=False))
    assert endpoint.asked.paths == ["/responses"]
    assert endpoint.asked.bodies[0] == {
        "model": "tested",
        "store": False,
        "max_output_tokens": 77,
        "tools": [
            {
                "type": "function",
                "name": "find_order",
                "description": "Finds an order.",
                "parameters": TOOL["function"]["parameters"],
                "strict": False,
            }
        ],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "input": [
            {"role": "system", "content": "Help."},
            {"role": "user", "content": "Where is order 7?"},
            {"role": "assistant", "content": "Let me see."},
            {"type": "function_call", "call_id": "c1", "name": "find_order", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": '{"result": "Lyon"}'},
        ],
    }


def test_text_calls_and_usage_are_read(gateway: Any) -> None:
    reasoning = {"type": "reasoning", "summary": []}
    with model_endpoint([told(response(reasoning, TEXT, CALL))]) as endpoint:
        reply = gateway(endpoint.url, api="responses").complete(question())
    assert (reply.text, reply.finish_reason, reply.model) == ("Hello.", "tool_calls", "tested-1")
    found = [(each.id, each.name, each.arguments) for each in reply.tool_calls]
    assert found == [("c2", "find_order", '{"a": 1}')]
    assert (reply.prompt_tokens, reply.completion_tokens, reply.cached_tokens) == (100, 10, 60)
    assert reply.cost_usd == Decimal("0.0002")


@pytest.mark.parametrize(
    ("told_reason", "reason"),
    [
        ({"reason": "max_output_tokens"}, "length"),
        ({"reason": "content_filter"}, "content_filter"),
        (None, "length"),
    ],
)
def test_an_incomplete_response_tells_why(gateway: Any, told_reason: object, reason: str) -> None:
    cut = response(TEXT, status="incomplete", incomplete_details=told_reason)
    with model_endpoint([told(cut)]) as endpoint:
        reply = gateway(endpoint.url, api="responses").complete(question())
    assert (reply.text, reply.finish_reason) == ("Hello.", reason)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (response(status="failed", error={"code": "server_error", "message": "Ow."}), Interrupted),
        (
            response(status="failed", usage=None, error={"code": "server_error", "message": "Ow."}),
            Unavailable,
        ),
        (response(usage=None, error={"code": "400", "message": "Bad."}), PermanentError),
        (response(status="in_progress"), Interrupted),
        (response(status=["odd"]), Interrupted),
        (response(output="none"), Interrupted),
        (response({"type": "function_call", "name": ""}), Interrupted),
        ({}, Interrupted),
    ],
)
def test_failures_are_classed(gateway: Any, body: Body, error: type[Exception]) -> None:
    with model_endpoint([told(body)]) as endpoint, pytest.raises(error) as raised:
        gateway(endpoint.url, api="responses").complete(question())
    assert isinstance(raised.value, Interrupted) == (error is Interrupted)


def test_an_endpoint_that_would_keep_what_it_is_told_is_not_told_it(gateway: Any) -> None:
    with model_endpoint([refused("Unknown parameter: store", param="store")]) as endpoint:
        with pytest.raises(PermanentError, match="store"):
            gateway(endpoint.url, api="responses").complete(question())
        assert len(endpoint.asked) == 1
