"""Messages that no worker can use: each is kept with its reason, and the work goes on."""

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
import redis

from fleet_contracts.codec import encode_task
from fleet_contracts.envelope import MAX_ENVELOPE_BYTES, build_envelope
from fleet_contracts.states import TaskState
from fleet_contracts.topology import agent_address
from support.bench import TRACK_AND_TELL, Bench, dead_letter_of, publish, script, until, view
from support.stacks import Stack


def _celery_message(**changes: Any) -> tuple[str, dict[str, Any]]:
    """Body and properties of a good task message, its envelope changed as told."""
    wire = encode_task(build_envelope(tenant="acme", agent="parcels", input="x"))
    body = json.loads(wire.body)
    body[0][0].update(changes)
    return json.dumps(body), {"headers": wire.headers, **wire.properties}


def _with_body(body: str) -> Callable[[str], tuple[str, dict[str, Any]]]:
    return lambda marker: (body.replace("MARK", marker), _celery_message()[1])


def _bare(body: str) -> Callable[[str], tuple[str, dict[str, Any]]]:
    plain = {"content_type": "application/json", "content_encoding": "utf-8"}
    return lambda marker: (body.replace("MARK", marker), plain)


BAD: dict[str, tuple[Callable[[str], tuple[str, dict[str, Any]]], str, str]] = {
    "malformed JSON": (_with_body('{"MARK": '), "invalid_envelope", "decoded"),
    "no headers": (_bare('{"input": "MARK"}'), "invalid_envelope", "headers"),
    "a bare text": (_bare('"MARK"'), "invalid_envelope", ""),
    "a list without an envelope": (_with_body('[["MARK"], {}, {}]'), "invalid_envelope", "JSON"),
    "an unknown agent": (
        lambda m: _celery_message(agent="nobody", input=m), "unknown_agent", "Installed:"),
    "an unknown tenant": (
        lambda m: _celery_message(tenant="nobody", input=m), "unknown_tenant", "fleetctl tenants"),
    "a wrong schema version": (
        lambda m: _celery_message(schema_version=9, input=m), "invalid_envelope", "version 1"),
    "control characters": (
        lambda m: _celery_message(input=f"{m}\x00\x1b"), "invalid_envelope", "U+0000"),
    "too long a text": (
        lambda m: _celery_message(input=m + "x" * MAX_ENVELOPE_BYTES), "invalid_envelope", "limit"),
    "a field nobody knows": (
        lambda m: _celery_message(input=m, colour="red"), "invalid_envelope", "colour"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_message_is_kept_with_its_reason(bench: Bench, stack: Stack, case: str) -> None:
    make, reason, words = BAD[case]
    marker = f"marker{uuid4().hex}"
    body, properties = make(marker)
    publish(stack, body, **properties)
    letter = until(lambda: dead_letter_of(stack, marker), what="the dead letter")
    assert letter.reason == reason
    assert words in letter.error
    _still_works(bench)


def test_a_bare_number_is_kept_with_its_reason(bench: Bench, stack: Stack) -> None:
    number = str(uuid4().int)
    publish(stack, number, content_type="application/json", content_encoding="utf-8")
    assert until(lambda: dead_letter_of(stack, number), what="the dead letter").reason
    _still_works(bench)


def test_a_text_that_is_no_message_is_kept_with_its_reason(bench: Bench, stack: Stack) -> None:
    if stack.name != "embedded":
        pytest.skip("RabbitMQ takes nothing but messages.")
    marker = f"marker{uuid4().hex}"
    with redis.Redis.from_url(stack.broker_url) as valkey:
        valkey.lpush(agent_address("parcels"), marker)
    letter = until(lambda: dead_letter_of(stack, marker), what="the dead letter")
    assert letter.reason == "invalid_envelope"
    _still_works(bench)


def test_a_task_id_used_twice_keeps_the_first_content(bench: Bench, stack: Stack) -> None:
    first = build_envelope(tenant="acme", agent="parcels", input=script(bench, *TRACK_AND_TELL))
    marker = f"marker{uuid4().hex}"
    other = build_envelope(id=first.id, tenant="acme", agent="parcels", input=marker)
    for envelope in (first, other):
        wire = encode_task(envelope)
        publish(stack, wire.body, headers=wire.headers, **wire.properties)
        until(lambda: view(stack, first.id), what="the task")
    letter = until(lambda: dead_letter_of(stack, marker), what="the dead letter")
    assert letter.reason == "conflict"
    assert letter.task_id == first.id
    with bench.fleet.client() as client:
        assert client.wait(first.id, timeout=20).outcome.answer == "It is in Lyon."


def _still_works(bench: Bench) -> None:
    assert bench.worker.is_alive, bench.worker.tail()
    with bench.fleet.client() as client:
        done = client.submit(script(bench, *TRACK_AND_TELL), agent="parcels").wait(timeout=20)
    assert done.state is TaskState.SUCCEEDED
