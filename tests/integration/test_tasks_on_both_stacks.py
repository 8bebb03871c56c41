"""What a producer sees of the fleet, the same on both stacks."""

import json
import socket
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pika
import pytest
from kombu import Connection, Exchange, Producer

from fleet_contracts.codec import encode_task
from fleet_contracts.envelope import MAX_ENVELOPE_BYTES, build_envelope
from fleet_contracts.errors import Unavailable
from fleet_contracts.outcome import OutcomeKind, ReviewKind, TaskView
from fleet_contracts.states import TaskState
from fleet_contracts.topology import agent_address, agent_queue_arguments, dead_address
from fleet_workers.store import dead_letters, views
from fleet_workers.store.dead_letters import DeadLetter
from fleet_workers.testing import (
    Reply,
    ScriptedModel,
    answer,
    call,
    fail,
    garbage,
    stall,
)
from support.stacks import Stack

TRACK_AND_TELL = [call("track_parcel", order_id="ord_7"), answer("It is in Lyon.")]


def script(bench: Any, *lines: Reply) -> str:
    """Give the model a script for a new task; the text of that task holds its key."""
    key = uuid4().hex[:12]
    bench.scripts[key] = list(lines)
    return f"Where is ord_7? [{key}]"


def until(condition: Callable[[], Any], *, seconds: float = 20.0, what: str = "it") -> Any:
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what} did not come about in {seconds:g} s"
        time.sleep(0.05)
    return value


def view(stack: Stack, task_id: UUID) -> TaskView | None:
    with stack.engine.begin() as connection:
        return views.view(connection, task_id, tenant=None)


def dead_letter_of(stack: Stack, marker: str) -> DeadLetter | None:
    with stack.engine.begin() as connection:
        found = dead_letters.unsettled(connection, limit=200)
    return next((each for each in found if marker in each.body), None)


def publish(stack: Stack, body: Any, *, agent: str = "parcels", **properties: Any) -> None:
    """Put a message on an agent's queue, as any program could."""
    with Connection(stack.broker_url) as connection:
        exchange = Exchange("agents", type="topic", durable=True)
        Producer(connection.channel(), exchange, auto_declare=False).publish(
            body, routing_key=agent_address(agent), **properties
        )


# --- ways in -------------------------------------------------------------------------------------


@pytest.mark.parametrize("over_broker", [True, False], ids=["broker", "http"])
def test_a_task_is_worked_from_either_way_in(bench: Any, over_broker: bool) -> None:
    with bench.fleet.client(over_broker=over_broker) as client:
        task = client.submit(script(bench, *TRACK_AND_TELL), agent="parcels", customer="cus_1")
        done = task.wait(timeout=20)
        assert done.state is TaskState.SUCCEEDED
        assert done.outcome.answer == "It is in Lyon."
        assert done.outcome.tools_used == ("track_parcel",)
        kinds = [step["kind"] for step in task.journal()]
    assert kinds == ["inbound", "plan", "tool", "plan", "confidence"]


def test_a_plain_post_is_answered_with_where_to_look(bench: Any) -> None:
    headers = {"Authorization": f"Bearer {bench.fleet.stack.api_key}"}
    with httpx2.Client(base_url=bench.fleet.api_url, headers=headers, timeout=20) as http:
        body = {"agent": "parcels", "input": script(bench, *TRACK_AND_TELL)}
        taken = http.post("/v1/tasks", json=body)
        assert taken.status_code == 202
        place = taken.headers["Location"]
        done = until(lambda: _settled(http.get(place).json()), what="the task's end")
    assert done["outcome"]["answer"] == "It is in Lyon."


def _settled(task: dict[str, Any]) -> dict[str, Any] | None:
    return task if task["state"] in {"succeeded", "dead", "in_review"} else None


def test_auto_finds_the_agent(bench: Any) -> None:
    with bench.fleet.client() as client:
        done = client.submit(script(bench, *TRACK_AND_TELL), agent="auto").wait(timeout=20)
    assert (done.requested_agent, done.agent, done.state) == ("auto", "parcels", "succeeded")


def test_a_session_remembers_what_was_said(bench: Any) -> None:
    session = f"s-{uuid4().hex[:8]}"
    with bench.fleet.client() as client:
        first = client.submit(script(bench, *TRACK_AND_TELL), agent="parcels", session_id=session)
        first.wait(timeout=20)
        second = client.submit(
            script(bench, answer("As I said, in Lyon.")), agent="parcels", session_id=session
        )
        assert second.wait(timeout=20).state is TaskState.SUCCEEDED
        turns = next(step for step in second.journal() if step["kind"] == "memory")
    assert [turn["role"] for turn in turns["result"]["turns"]] == ["user", "assistant"]
    assert turns["result"]["turns"][1]["content"] == "It is in Lyon."


# --- people --------------------------------------------------------------------------------------


def test_low_confidence_waits_for_a_person_who_is_told(bench: Any, stack: Stack) -> None:
    with bench.fleet.client() as client:
        text = script(bench, answer("In Lyon, I guess.", confidence=0.3))
        task = client.submit(text, agent="parcels")
        parked = task.wait(timeout=20)
    assert parked.state is TaskState.IN_REVIEW
    assert parked.outcome.kind is OutcomeKind.REVIEW
    assert parked.outcome.review_kind is ReviewKind.LOW_CONFIDENCE
    message = until(lambda: _review_message(stack, task.id), what="the message for people")
    assert message["packet"]["request"] == text
    assert message["packet"]["proposal"] == {"answer": "In Lyon, I guess."}
    assert "0.30" in message["reason"]


def _review_message(stack: Stack, task_id: UUID) -> dict[str, Any] | None:
    with Connection(stack.broker_url) as connection:
        channel = connection.channel()
        while (message := channel.basic_get("human.review", no_ack=True)) is not None:
            content: dict[str, Any] = json.loads(message.body)
            if content["task_id"] == str(task_id):
                return content
    return None


# --- bad input -----------------------------------------------------------------------------------


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
def test_a_bad_message_is_kept_with_its_reason(bench: Any, stack: Stack, case: str) -> None:
    make, reason, words = BAD[case]
    marker = f"marker{uuid4().hex}"
    body, properties = make(marker)
    publish(stack, body, **properties)
    letter = until(lambda: dead_letter_of(stack, marker), what="the dead letter")
    assert letter.reason == reason
    assert words in letter.error
    _still_works(bench)


def test_a_bare_number_is_kept_with_its_reason(bench: Any, stack: Stack) -> None:
    number = str(uuid4().int)
    publish(stack, number, content_type="application/json", content_encoding="utf-8")
    assert until(lambda: dead_letter_of(stack, number), what="the dead letter").reason
    _still_works(bench)


def test_a_task_id_used_twice_keeps_the_first_content(bench: Any, stack: Stack) -> None:
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


def _still_works(bench: Any) -> None:
    assert bench.worker.is_alive, bench.worker.tail()
    with bench.fleet.client() as client:
        done = client.submit(script(bench, *TRACK_AND_TELL), agent="parcels").wait(timeout=20)
    assert done.state is TaskState.SUCCEEDED


# --- a model endpoint in trouble -----------------------------------------------------------------


def test_tasks_outlive_an_endpoint_that_is_down_slow_or_mad(bench: Any, stack: Stack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    worker = bench.fleet.start_worker(
        "frail", OPENAI_BASE_URL=f"http://127.0.0.1:{port}/v1", FLEET_MODEL_TIMEOUT="PT0.5S"
    )
    bench.fleet.wait_ready()
    try:
        with bench.fleet.client() as client:
            down = client.submit("Where is it? [down]", agent="frail")
            until(lambda: (view(stack, down.id) or down.status()).attempts, what="a failed attempt")
            assert view(stack, down.id).last_error["code"] == "unavailable"
            scripts = {
                "down": [answer("Here again.")],
                "slow": [stall(1.0), answer("At last.")],
                "mad": [garbage(times=2), answer("Sane again.")],
            }
            model = ScriptedModel(scripts=scripts, key=_named)
            with model.serve(port=port):
                assert down.wait(timeout=30).outcome.answer == "Here again."
                for name, said in (("slow", "At last."), ("mad", "Sane again.")):
                    task = client.submit(f"Where is it? [{name}]", agent="frail")
                    done = task.wait(timeout=20)
                    assert (done.outcome.answer, done.attempts) == (said, 1)
    finally:
        worker.stop()


def test_an_endpoint_that_stays_down_ends_in_a_dead_letter(bench: Any, stack: Stack) -> None:
    script_of_all = ScriptedModel([fail(Unavailable("overloaded"), times=None)])
    with script_of_all.serve() as server:
        worker = bench.fleet.start_worker(
            "frail", OPENAI_BASE_URL=server.url, FLEET_MAX_ATTEMPTS="2"
        )
        bench.fleet.wait_ready()
        try:
            marker = f"marker{uuid4().hex}"
            with bench.fleet.client() as client:
                task = client.submit(marker, agent="frail")
                dead = task.wait(timeout=20)
        finally:
            worker.stop()
    assert dead.state is TaskState.DEAD
    assert "503" in dead.outcome.reason
    letter = dead_letter_of(stack, marker)
    assert letter.reason == "attempts_used_up"
    assert [attempt["code"] for attempt in letter.attempts] == ["unavailable", "attempts_used_up"]


def _named(messages: list[Any]) -> str:
    return str(messages[-1]["content"].rpartition("[")[2].rstrip("]"))


# --- a worker that is killed ---------------------------------------------------------------------


def test_a_worker_killed_inside_a_tool_call_does_nothing_twice(bench: Any, stack: Stack) -> None:
    order = f"ord_{uuid4().int % 10**9}"
    refund = call("refund_order", order_id=order, amount_usd="40")
    bench.shop.hold(order)
    with bench.fleet.client() as client:
        task = client.submit(script(bench, refund, answer("Refunded.")), agent="parcels")
        until(lambda: bench.shop.asked.get(("refund", order)), what="the call")
        bench.worker.kill()
        bench.shop.release(order)
        bench.worker = bench.fleet.start_worker("parcels", "auto")
        done = task.wait(timeout=40)
        steps = task.journal()
    assert done.outcome.answer == "Refunded."
    assert bench.shop.effects_on(order) == ["refund"]
    assert bench.shop.asked["refund", order] == 2
    assert [step["kind"] for step in steps].count("tool") == 1


def test_a_worker_killed_inside_a_call_without_a_key_asks_a_person(bench: Any) -> None:
    order = f"ord_{uuid4().int % 10**9}"
    bench.shop.hold(order)
    with bench.fleet.client() as client:
        text = script(bench, call("book_courier", order_id=order), answer("Booked."))
        task = client.submit(text, agent="parcels")
        until(lambda: bench.shop.asked.get(("courier", order)), what="the call")
        bench.worker.kill()
        bench.shop.release(order)
        bench.worker = bench.fleet.start_worker("parcels", "auto")
        parked = task.wait(timeout=40)
    assert parked.outcome.review_kind is ReviewKind.IN_DOUBT
    assert bench.shop.asked["courier", order] == 1


# --- the broker ----------------------------------------------------------------------------------


def test_on_rabbitmq_queues_are_durable_quorum_queues_with_dead_letters(
    bench: Any, stack: Stack
) -> None:
    if stack.name != "rabbitmq":
        pytest.skip("Only RabbitMQ has queue types.")
    with pika.BlockingConnection(pika.URLParameters(stack.broker_url)) as connection:
        channel = connection.channel()
        # A declaration with other arguments than the queue's own is refused by RabbitMQ.
        channel.queue_declare(
            agent_address("parcels"), durable=True, arguments=agent_queue_arguments("parcels")
        )
        arguments = agent_queue_arguments("parcels")
        assert arguments["x-queue-type"] == "quorum"
        assert arguments["x-dead-letter-routing-key"] == dead_address("parcels")
        channel.queue_declare(dead_address("parcels"), passive=True)
        with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="inequivalent arg"):
            channel.queue_declare(agent_address("parcels"), durable=True)
