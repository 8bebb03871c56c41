"""No request, however odd, breaks the offline model or keeps it busy for long."""

import json
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleet_workers.embedded.offline_model.model import OfflineModel
from fleet_workers.embedded.offline_model.wire import (
    BadRequest,
    Step,
    chunks,
    completion,
    parse_body,
)
from fleet_workers.models.control import CONTROL_NAMES
from support.offline_domains import (
    BANK,
    BANK_SCOPE,
    LIBRARY,
    LIBRARY_SCOPE,
    TRANSACTIONS,
    body,
    play_on,
    tool,
    tool_turn,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4)
    ),
    max_leaves=12,
)
SCHEMA_KEYS = st.sampled_from(
    (
        "type",
        "enum",
        "const",
        "anyOf",
        "allOf",
        "oneOf",
        "$ref",
        "items",
        "properties",
        "required",
        "pattern",
        "format",
        "minimum",
        "maxLength",
        "minLength",
        "default",
        "description",
    )
)
SCHEMA = st.recursive(
    st.dictionaries(SCHEMA_KEYS, JSON, max_size=5),
    lambda inner: st.dictionaries(
        st.sampled_from(["properties", "items", "anyOf", "$defs", "type"]),
        inner
        | st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        max_size=4,
    ),
    max_leaves=6,
)


def reply(request: dict[str, Any]) -> Step:
    parsed = parse_body(json.dumps(request).encode())
    step = OfflineModel().reply(parsed)
    json.dumps([completion(parsed, step, "d"), *chunks(parsed, step, "d")])
    return step


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=st.text(max_size=300))
def test_any_text_gets_a_call_with_complete_arguments(text: str) -> None:
    step = reply(body(LIBRARY_SCOPE, text, LIBRARY))
    names = {each["function"]["name"] for each in LIBRARY} | CONTROL_NAMES
    assert step.name in names


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    schema=SCHEMA,
    result=JSON,
    choice=st.sampled_from(["auto", "required", "none"]),
    name=st.text(min_size=1, max_size=20),
)
def test_any_schema_and_any_result_are_taken(
    schema: dict[str, Any], result: Any, choice: str, name: str
) -> None:
    odd = {"type": "function", "function": {"name": name, "parameters": schema}}
    better = tool("renew_loan", "Renew a loan.", {"loan_id": schema, "note": schema})
    request = body(LIBRARY_SCOPE, "renew loan 12345 for me please", [odd, better])
    request["tool_choice"] = choice
    reply(request)
    request["messages"] += tool_turn("a", name, {}, result)
    reply(request)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(messages=st.lists(JSON, max_size=3), more=st.dictionaries(st.text(max_size=8), JSON))
def test_any_body_is_answered_or_refused(messages: list[Any], more: dict[str, Any]) -> None:
    raw = json.dumps({"model": "m", "messages": messages, **more}).encode()
    try:
        parsed = parse_body(raw)
    except BadRequest:
        return
    OfflineModel().reply(parsed)


@pytest.mark.parametrize(
    "text",
    [
        "renew my loan " * 100_000,
        "a" * 500_000,
        "9" * 300_000,
        "a@" * 100_000,
        "a-1" * 100_000,
        "{" * 200_000,
        '{"a":' * 50_000,
        "my friend " * 50_000,
        "'" * 100_000,
        "Please Renew The Book Of " * 20_000,
        "\n" * 300_000,
        "1,1," * 100_000,
        "send money " + "1," * 6_000,
        "send money" + " " * 12_000,
        "\n \t" * 100_000,
        "\ud800 renew L-1 please",
    ],
    ids=lambda text: repr(text[:12]),
)
def test_huge_and_crafted_texts_take_no_more_than_a_moment(text: str) -> None:
    started = time.process_time()
    reply(body(LIBRARY_SCOPE, text, LIBRARY))
    assert time.process_time() - started < 2


def test_a_pattern_that_explodes_is_not_run() -> None:
    bad = tool("renew_loan", "Renew a loan.", {"loan_id": {"type": "string", "pattern": "^(a+)+$"}})
    started = time.process_time()
    reply(body(LIBRARY_SCOPE, f"please renew the loan {'a' * 60}b", [bad]))
    assert time.process_time() - started < 1


def test_recursive_schemas_end() -> None:
    loop = {"$ref": "#/$defs/node"}
    odd = tool("renew_loan", "Renew a loan.", {"loan": loop})
    odd["function"]["parameters"]["$defs"] = {
        "node": {"properties": {"next": loop}, "allOf": [loop]}
    }
    assert reply(body(LIBRARY_SCOPE, "renew my loan please", [odd])).name in CONTROL_NAMES


def test_references_and_optional_types_are_followed() -> None:
    size = {"anyOf": [{"$ref": "#/$defs/Size"}, {"type": "null"}]}
    order = tool("order_shirt", "Order a shirt.", {"size": size})
    order["function"]["parameters"]["$defs"] = {"Size": {"enum": ["small", "large"]}}
    step = reply(body("You sell shirts.", "please order a large shirt", [order]))
    assert (step.name, step.arguments) == ("order_shirt", {"size": "large"})


def test_two_hundred_tools_are_ranked_quickly() -> None:
    many = [
        tool(f"get_{noun}_{number}", f"Get the {noun} number {number}.", {})
        for noun in ("apple", "pear", "plum", "fig")
        for number in range(50)
    ]
    model, request = OfflineModel(), body(LIBRARY_SCOPE, "renew L-1 please", [*many, *LIBRARY])
    parsed = parse_body(json.dumps(request).encode())
    model.reply(parsed)
    started = time.process_time()
    for _ in range(20):
        assert model.reply(parsed).name == "renew_loan"
    assert (time.process_time() - started) / 20 < 0.05


def test_a_typical_step_takes_a_few_milliseconds() -> None:
    model = OfflineModel()
    request = body(BANK_SCOPE, "What is the 89 euro charge in March?", BANK)
    play_on(model, request, {"list_transactions": TRANSACTIONS})
    parsed = parse_body(json.dumps(request).encode())
    started = time.process_time()
    for _ in range(50):
        model.reply(parsed)
    assert (time.process_time() - started) / 50 < 0.01
