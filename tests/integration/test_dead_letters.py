"""Dead tasks come back to life on a running fleet, the same on both stacks."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from kombu import Connection, Exchange, Producer

from fleet_contracts.codec import encode_task
from fleet_contracts.envelope import build_envelope
from fleet_contracts.errors import PermanentError
from fleet_contracts.outcome import TaskView
from fleet_contracts.states import TaskState
from fleet_contracts.topology import DEAD_EXCHANGE, dead_address
from fleet_workers.store import dead_letters
from fleet_workers.store.dead_letters import DeadLetter, DeadLetterFilter
from fleet_workers.testing import answer, call, fail
from support.bench import TRACK_AND_TELL, Bench, dead_letter_of, publish, script, until, view
from support.fleetctl import fleetctl
from support.stacks import Stack

PATH = "/v1/dead-letters"


@pytest.fixture
def http(bench: Bench) -> Iterator[httpx2.Client]:
    headers = {"Authorization": f"Bearer {bench.fleet.stack.api_key}"}
    with httpx2.Client(base_url=bench.fleet.api_url, headers=headers, timeout=30) as client:
        yield client


def dies_once(bench: Bench, *before: Any, says: str, because: str = "broke") -> str:
    """The text of a task whose run ends in a permanent error, and whose next one in an answer."""
    return script(bench, *before, fail(PermanentError(because), times=1), answer(says))


def letter_of(stack: Stack, task_id: UUID) -> DeadLetter:
    with stack.engine.begin() as connection:
        (letter,) = dead_letters.find(connection, DeadLetterFilter(task_id=task_id))
    return letter


def test_a_replayed_task_goes_on_from_its_journal_and_repeats_no_effect(
    bench: Bench, stack: Stack, http: httpx2.Client
) -> None:
    order = f"ord_{uuid4().int % 10**9}"
    refund = call("refund_order", order_id=order, amount_usd="40")
    with bench.fleet.client() as client:
        task = client.submit(dies_once(bench, refund, says="Refunded."), agent="parcels")
        dead = task.wait(timeout=20)
        assert dead.state is TaskState.DEAD
        letter = letter_of(stack, task.id)
        # A dry run tells how it would end, and changes nothing
        rehearsed = http.post(f"{PATH}/replay", json={"ids": [str(letter.id)], "dry_run": True})
        (told,) = rehearsed.json()["dry_runs"]
        assert (told["outcome"]["answer"], told["would_do"]) == ("Refunded.", [])
        assert (told["recorded"]["kind"], told["answered_from_record"]) == ("dead", 1)
        assert http.get(f"{PATH}/{letter.id}").json()["settled_at"] is None
        # The replay itself, twice
        body = {"ids": [str(letter.id)]}
        first = http.post(f"{PATH}/replay", json=body).json()["results"][0]
        again = http.post(f"{PATH}/replay", json=body).json()["results"][0]
        assert (first["status"], again["error"]["code"]) == ("replayed", "already_settled")
        done = until(lambda: _ended(stack, task.id), what="the end of the replayed task")
    assert (done.state, done.outcome.answer) == (TaskState.SUCCEEDED, "Refunded.")
    assert bench.shop.effects_on(order) == ["refund"]
    assert bench.shop.asked["refund", order] == 1


def _ended(stack: Stack, task_id: UUID) -> TaskView | None:
    seen = view(stack, task_id)
    return seen if seen and seen.state is TaskState.SUCCEEDED else None


def test_a_bulk_replay_is_worked_by_the_janitor(
    bench: Bench, stack: Stack, http: httpx2.Client
) -> None:
    because = f"cause{uuid4().hex}"
    with bench.fleet.client() as client:
        tasks = [
            client.submit(dies_once(bench, says="Here.", because=because), agent="parcels")
            for _ in range(6)
        ]
        for task in tasks:
            assert task.wait(timeout=20).state is TaskState.DEAD
        body = {"filter": {"agent": "parcels", "error": because}, "rate_per_second": 20}
        asked = http.post(f"{PATH}/replay", json=body)
        assert (asked.status_code, asked.json()["matched"]) == (202, 6)
        job = until(lambda: _finished(http, asked.headers["location"]), what="the job's end")
        assert (job["replayed"], job["refused"]) == (6, 0)
        for task in tasks:
            until(lambda task=task: _ended(stack, task.id), what="the end of a replayed task")
    with stack.engine.begin() as connection:
        assert dead_letters.count(connection, DeadLetterFilter(error=because)) == 0


def _finished(http: httpx2.Client, place: str) -> dict[str, Any] | None:
    job: dict[str, Any] = http.get(place).json()
    return job if job["finished_at"] else None


def test_a_message_that_no_worker_could_take_becomes_a_task(bench: Bench, stack: Stack) -> None:
    # Given a plain JSON message, which a pool keeps as a dead letter
    text = script(bench, *TRACK_AND_TELL)
    plain = {"tenant": "acme", "agent": "parcels", "input": text, "id": str(uuid4())}
    publish(stack, plain, serializer="json")
    letter = until(lambda: dead_letter_of(stack, text), what="the dead letter")
    assert letter.task_id is None
    # Then an operator of the whole fleet can make it a task
    with stack.engine.begin() as connection:
        assert dead_letters.get(connection, letter.id, tenant="acme") is None
    done = fleetctl(bench.fleet._environment, "dead", "replay", str(letter.id))
    assert done.returncode == 0, done.stdout + done.stderr
    done = until(lambda: _ended(stack, UUID(plain["id"])), what="the task's end")
    assert done.outcome.answer == "It is in Lyon."


def test_what_rabbitmq_gave_up_is_run_apart_from_its_neighbours(bench: Bench, stack: Stack) -> None:
    if stack.name != "rabbitmq":
        pytest.skip("Only RabbitMQ has dead-letter queues of its own.")
    envelope = build_envelope(tenant="acme", agent="parcels", input=script(bench, *TRACK_AND_TELL))
    with Connection(stack.broker_url) as connection:
        Producer(connection.channel(), Exchange(DEAD_EXCHANGE, type="topic")).publish(
            encode_task(envelope).body, routing_key=dead_address("parcels")
        )
    done = until(lambda: _ended(stack, envelope.id), what="the task's end", seconds=60)
    assert done.outcome.answer == "It is in Lyon."
    until(lambda: _was_isolated(bench, envelope.id), what="the worker's word about it", seconds=40)


def _was_isolated(bench: Bench, task_id: UUID) -> bool:
    lines = bench.worker.log.read_text().splitlines()
    return any("task.isolated" in line and str(task_id) in line for line in lines)
