"""What a producer sees of the fleet, the same on both stacks."""

import json
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pika
import pytest
from kombu import Connection

from fleet_contracts.errors import Unavailable
from fleet_contracts.outcome import OutcomeKind, ReviewKind, TaskView
from fleet_contracts.states import TaskState
from fleet_contracts.topology import agent_address, agent_queue_arguments, dead_address
from fleet_workers.testing import (
    ScriptedModel,
    answer,
    call,
    fail,
    garbage,
    stall,
)
from support.bench import TRACK_AND_TELL, Bench, dead_letter_of, script, until, view
from support.ports import free_port
from support.stacks import Stack

# --- ways in -------------------------------------------------------------------------------------


@pytest.mark.parametrize("over_broker", [True, False], ids=["broker", "http"])
def test_a_task_is_worked_from_either_way_in(bench: Bench, over_broker: bool) -> None:
    with bench.fleet.client(over_broker=over_broker) as client:
        task = client.submit(script(bench, *TRACK_AND_TELL), agent="parcels", customer="cus_1")
        done = task.wait(timeout=20)
        assert done.state is TaskState.SUCCEEDED
        assert done.outcome.answer == "It is in Lyon."
        assert done.outcome.tools_used == ("track_parcel",)
        kinds = [step["kind"] for step in task.journal()]
    assert kinds == ["inbound", "plan", "tool", "plan", "outbound", "confidence"]


def test_a_plain_post_is_answered_with_where_to_look(bench: Bench) -> None:
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


def test_auto_finds_the_agent(bench: Bench) -> None:
    with bench.fleet.client() as client:
        done = client.submit(script(bench, *TRACK_AND_TELL), agent="auto").wait(timeout=20)
    assert (done.requested_agent, done.agent, done.state) == ("auto", "parcels", "succeeded")


def test_a_session_remembers_what_was_said(bench: Bench) -> None:
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


def test_low_confidence_waits_for_a_person_who_is_told(bench: Bench, stack: Stack) -> None:
    with bench.fleet.client() as client:
        text = script(bench, answer("In Lyon, I guess.", confidence=0.3))
        task = client.submit(text, agent="parcels")
        parked = task.wait(timeout=20)
    assert parked.state is TaskState.IN_REVIEW
    assert parked.outcome.kind is OutcomeKind.REVIEW
    assert parked.outcome.review_kind is ReviewKind.LOW_CONFIDENCE
    message = until(lambda: _review_message(stack, task.id), what="the message for people")
    assert message["packet"]["request"] == text
    assert message["packet"]["proposal"]["answer"] == "In Lyon, I guess."
    assert "0.30" in message["reason"]


def _review_message(stack: Stack, task_id: UUID) -> dict[str, Any] | None:
    with Connection(stack.broker_url) as connection:
        channel = connection.channel()
        while (message := channel.basic_get("human.review", no_ack=True)) is not None:
            content: dict[str, Any] = json.loads(message.body)
            if content["task_id"] == str(task_id):
                return content
    return None


# --- a model endpoint in trouble -----------------------------------------------------------------


def test_tasks_outlive_an_endpoint_that_is_down_slow_or_mad(bench: Bench, stack: Stack) -> None:
    port = free_port()
    worker = bench.fleet.start_worker(
        "frail", OPENAI_BASE_URL=f"http://127.0.0.1:{port}/v1", FLEET_MODEL_TIMEOUT="0.5"
    )
    bench.fleet.wait_ready()
    try:
        with bench.fleet.client() as client:
            down = client.submit("Where is it? [down]", agent="frail")
            seen = until(lambda: _failed_once(stack, down.id), what="a failed attempt")
            assert seen.last_error["code"] == "unavailable"
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


def test_an_endpoint_that_stays_down_ends_in_a_dead_letter(bench: Bench, stack: Stack) -> None:
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


def _failed_once(stack: Stack, task_id: UUID) -> TaskView | None:
    seen = view(stack, task_id)
    return seen if seen and seen.attempts else None


def _named(messages: list[Any]) -> str:
    return str(messages[-1]["content"].rpartition("[")[2].rstrip("]"))


# --- a worker that is killed ---------------------------------------------------------------------


def test_a_worker_killed_inside_a_tool_call_does_nothing_twice(bench: Bench, stack: Stack) -> None:
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


def test_a_worker_killed_inside_a_call_without_a_key_asks_a_person(bench: Bench) -> None:
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
    bench: Bench, stack: Stack
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
