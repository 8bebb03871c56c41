"""What outlives workers, brokers and people: the same promises on both stacks."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from sqlalchemy import select

from fleet_client import FleetClient
from fleet_contracts.outcome import ReviewKind
from fleet_contracts.states import TaskState
from fleet_workers.store import tables
from fleet_workers.testing import answer, call, stall
from support.bench import TRACK_AND_TELL, Bench, dead_letter_of, script, until, view
from support.fleet_processes import FleetProcess
from support.stacks import Stack


def order_id() -> str:
    return f"ord_{uuid4().int % 10**9}"


def column(stack: Stack, task_id: UUID, name: str) -> Any:
    with stack.engine.begin() as connection:
        return connection.execute(
            select(tables.tasks.c[name]).where(tables.tasks.c.id == task_id)
        ).scalar()


@contextmanager
def operator(bench: Bench) -> Iterator[httpx2.Client]:
    headers = {"Authorization": f"Bearer {bench.fleet.stack.api_key}"}
    with httpx2.Client(base_url=bench.fleet.api_url, headers=headers, timeout=20) as http:
        yield http


@contextmanager
def frail_worker(bench: Bench, **environment: str) -> Iterator[FleetProcess]:
    """A worker of its own for the agent `frail`, which only this test uses."""
    worker = bench.fleet.start_worker("frail", **environment)
    bench.fleet.wait_ready()
    try:
        yield worker
    finally:
        worker.stop()


# --- workers that die, hang or are stopped -------------------------------------------------------


def test_a_killed_workers_task_goes_on_elsewhere_long_before_its_lease_ends(
    bench: Bench, stack: Stack
) -> None:
    order = order_id()
    refund = call("refund_order", order_id=order, amount_usd="40")
    with (
        frail_worker(bench, FLEET_LEASE="60") as victim,
        frail_worker(bench, FLEET_LEASE="60"),
        bench.fleet.client() as client,
    ):
        bench.shop.hold(order)
        task = client.submit(script(bench, refund, answer("Refunded.")), agent="frail")
        until(lambda: bench.shop.asked.get(("refund", order)), what="the call")
        held_by = str(column(stack, task.id, "worker")).rpartition(":")[2]
        killed_at = time.monotonic()
        os.kill(int(held_by), signal.SIGKILL)
        bench.shop.release(order)
        assert task.wait(timeout=40).outcome.answer == "Refunded."
        assert time.monotonic() - killed_at < 20
    assert victim.process.pid
    assert bench.shop.effects_on(order) == ["refund"]


def test_a_stalled_worker_that_wakes_up_does_nothing_more(bench: Bench, stack: Stack) -> None:
    order = order_id()
    lines = [
        call("track_parcel", order_id=order),
        call("refund_order", order_id=order, amount_usd="40"),
        answer("Refunded."),
    ]
    with frail_worker(bench) as stalled, bench.fleet.client() as client:
        bench.shop.hold_reads(order)
        task = client.submit(script(bench, *lines), agent="frail")
        until(lambda: bench.shop.asked.get(("track", order)), what="the first call")
        os.killpg(stalled.process.pid, signal.SIGSTOP)
        first_epoch = column(stack, task.id, "epoch")
        bench.shop.release(order)
        with frail_worker(bench):
            assert task.wait(timeout=40).outcome.answer == "Refunded."
            asked = dict(bench.shop.asked)
            os.killpg(stalled.process.pid, signal.SIGCONT)
            time.sleep(2)
            assert dict(bench.shop.asked) == asked
        assert stalled.is_alive
    assert column(stack, task.id, "epoch") > first_epoch
    assert bench.shop.effects_on(order) == ["refund"]


def test_a_stop_hands_tasks_back_between_steps_and_after_the_grace_in_the_middle_of_one(
    bench: Bench, stack: Stack
) -> None:
    slow, quick = order_id(), order_id()
    with frail_worker(bench, FLEET_STOP_GRACE="2") as stopped, bench.fleet.client() as client:
        bench.shop.hold(slow)
        refund = call("refund_order", order_id=slow, amount_usd="40")
        held = client.submit(script(bench, refund, answer("Refunded.")), agent="frail")
        lines = [call("track_parcel", order_id=quick), stall(1.0), answer("In Lyon.")]
        between = client.submit(script(bench, *lines), agent="frail")
        until(lambda: bench.shop.asked.get(("refund", slow)), what="the slow call")
        until(lambda: bench.shop.asked.get(("track", quick)), what="the quick call")
        begun = time.monotonic()
        stopped.process.terminate()
        stopped.process.wait(20)
        assert time.monotonic() - begun < 10
        stopped.was_ended = True
        until(lambda: view(stack, held.id).state is TaskState.QUEUED, seconds=3, what="the task")
        bench.shop.release(slow)
        with frail_worker(bench):
            assert held.wait(timeout=30).outcome.answer == "Refunded."
            assert between.wait(timeout=30).outcome.answer == "In Lyon."
    assert bench.shop.effects_on(slow) == ["refund"]
    assert column(stack, between.id, "attempts") == 0


@pytest.mark.timeout(240)
def test_a_poison_task_stops_and_takes_no_neighbour_along(bench: Bench, stack: Stack) -> None:
    poisoned, order = order_id(), order_id()
    neighbours = []
    with frail_worker(bench) as first, bench.fleet.client() as client:
        workers = [first]
        bench.shop.hold_reads(order)
        for _ in range(4):
            lines = [call("track_parcel", order_id=order), answer("It is in Lyon.")]
            neighbours.append(client.submit(script(bench, *lines), agent="frail"))
        until(lambda: bench.shop.asked.get(("track", order), 0) == 4, what="the neighbours")
        marker = f"marker{uuid4().hex}"
        text = f"{marker} {script(bench, call('crush_parcel', order_id=poisoned))}"
        poison = client.submit(text, agent="frail")
        deadline = time.monotonic() + 150
        released = False
        while view(stack, poison.id) is None or not view(stack, poison.id).settled:
            assert time.monotonic() < deadline, view(stack, poison.id)
            if not workers[-1].is_alive:
                workers[-1].was_ended = True
                workers.append(bench.fleet.start_worker("frail"))
            if not released and len(workers) == 3:
                bench.shop.release(order)
                released = True
            time.sleep(0.2)
        try:
            dead = poison.wait(timeout=5)
            assert dead.state is TaskState.DEAD
            assert all(n.wait(timeout=60).state is TaskState.SUCCEEDED for n in neighbours)
            assert workers[-1].is_alive
        finally:
            workers[-1].stop()
    # Two workers died of it; after that only processes of its own did.
    assert len(workers) == 3
    letter = dead_letter_of(stack, marker)
    assert letter.reason == "max_deliveries"
    assert letter.task_id == poison.id


# --- people and operators ------------------------------------------------------------------------


def parked_refund(bench: Bench, client: FleetClient, order: str, *after: Any) -> Any:
    lines = [call("refund_order", order_id=order, amount_usd="80"), *after]
    task = client.submit(script(bench, *lines), agent="parcels")
    assert task.wait(timeout=20).outcome.review_kind is ReviewKind.APPROVAL
    return task


def review_of(http: httpx2.Client, task_id: UUID) -> dict[str, Any]:
    listed = http.get("/v1/reviews", params={"limit": 200}).json()["reviews"]
    return next(each for each in listed if each["task_id"] == str(task_id))


def test_an_approved_action_is_done_once_and_nothing_before_it_again(bench: Bench) -> None:
    order = order_id()
    with bench.fleet.client() as client, operator(bench) as http:
        task = parked_refund(bench, client, order, answer("Refunded."))
        before = task.journal()
        item = review_of(http, task.id)
        assert http.post(f"/v1/reviews/{item['id']}/approve").json()["state"] == "resumed"
        assert http.post(f"/v1/reviews/{item['id']}/approve").status_code == 409
        until(lambda: client.status(task.id).state is TaskState.SUCCEEDED, what="the end")
        after = task.journal()
    assert bench.shop.effects_on(order) == ["refund"]
    assert after[: len(before)] == before


def test_a_refused_action_is_told_to_the_agent(bench: Bench) -> None:
    order = order_id()
    with bench.fleet.client() as client, operator(bench) as http:
        task = parked_refund(bench, client, order, answer("We cannot refund this."))
        item = review_of(http, task.id)
        refused = http.post(f"/v1/reviews/{item['id']}/reject", json={"reason": "Too much."})
        assert refused.status_code == 200
        until(lambda: client.status(task.id).state is TaskState.SUCCEEDED, what="the end")
        assert client.status(task.id).outcome.answer == "We cannot refund this."
        reasons = [step["result"].get("reason", "") for step in task.journal() if step["result"]]
    assert any("Too much." in reason for reason in reasons)
    assert bench.shop.effects_on(order) == []


def test_a_paused_agents_tasks_wait_and_run_after_it_is_resumed(bench: Bench, stack: Stack) -> None:
    with bench.fleet.client() as client, operator(bench) as http:
        paused = http.post("/v1/agents/parcels/pause", json={"reason": "prices are wrong"})
        assert (paused.status_code, paused.json()["tenant"]) == (200, "acme")
        task = client.submit(script(bench, *TRACK_AND_TELL), agent="parcels")
        until(lambda: view(stack, task.id), what="the task")
        time.sleep(1)
        assert view(stack, task.id).state is TaskState.QUEUED
        assert http.get("/v1/pauses").json()["pauses"][0]["reason"] == "prices are wrong"
        assert http.post("/v1/agents/parcels/resume").json() == {"was_paused": True}
        assert http.post("/v1/agents/parcels/resume").json() == {"was_paused": False}
        assert task.wait(timeout=20).state is TaskState.SUCCEEDED


def test_a_pause_stops_a_running_task_before_its_next_step(bench: Bench, stack: Stack) -> None:
    order = order_id()
    lines = [
        call("track_parcel", order_id=order),
        call("refund_order", order_id=order, amount_usd="40"),
        answer("Refunded."),
    ]
    with bench.fleet.client() as client, operator(bench) as http:
        bench.shop.hold_reads(order)
        task = client.submit(script(bench, *lines), agent="parcels")
        until(lambda: bench.shop.asked.get(("track", order)), what="the first call")
        http.post("/v1/agents/parcels/pause", json={"reason": "stop"})
        time.sleep(1.5)
        bench.shop.release(order)
        until(lambda: view(stack, task.id).state is TaskState.QUEUED, what="the task in its queue")
        time.sleep(1)
        assert bench.shop.effects_on(order) == []
        http.post("/v1/agents/parcels/resume")
        assert task.wait(timeout=20).outcome.answer == "Refunded."
    assert bench.shop.asked["track", order] == 1
    assert bench.shop.effects_on(order) == ["refund"]


def test_a_write_under_way_when_its_task_is_cancelled_is_kept_for_the_record(bench: Bench) -> None:
    order = order_id()
    lines = [
        call("refund_order", order_id=order, amount_usd="40"),
        call("book_courier", order_id=order),
        answer("Refunded."),
    ]
    with bench.fleet.client() as client:
        bench.shop.hold(order)
        task = client.submit(script(bench, *lines), agent="parcels")
        until(lambda: bench.shop.asked.get(("refund", order)), what="the call")
        assert client.cancel(task.id).state is TaskState.CANCELLED
        bench.shop.release(order)
        tool = until(lambda: _done_tool(task), what="the record of the write")
    assert tool["result"] == {"value": {"ok": True}}
    assert bench.shop.effects_on(order) == ["refund"]


def _done_tool(task: Any) -> dict[str, Any] | None:
    tools = [step for step in task.journal() if step["kind"] == "tool"]
    return tools[0] if tools and tools[0]["state"] == "done" else None


# --- sessions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("over_broker", [True, False], ids=["broker", "http"])
def test_tasks_of_a_session_run_in_order_and_never_at_once(
    bench: Bench, stack: Stack, over_broker: bool
) -> None:
    session = f"s-{uuid4().hex[:8]}"
    with bench.fleet.client(over_broker=over_broker) as client:
        made = [
            client.submit(
                script(bench, stall(0.2), answer(f"Number {number}.")),
                agent="parcels",
                session_id=session,
                idempotency_key=f"{session}-{number}" if number % 2 else None,
            )
            for number in range(6)
        ]
        for task in made:
            assert task.wait(timeout=40).state is TaskState.SUCCEEDED
    times = [
        (column(stack, task.id, "started_at"), column(stack, task.id, "finished_at"))
        for task in made
    ]
    for (_, ended), (begun, _) in pairwise(times):
        assert ended <= begun


def test_an_action_in_review_keeps_its_session_waiting(bench: Bench, stack: Stack) -> None:
    order, session = order_id(), f"s-{uuid4().hex[:8]}"
    with bench.fleet.client() as client, operator(bench) as http:
        lines = [call("refund_order", order_id=order, amount_usd="80"), answer("Refunded.")]
        first = client.submit(script(bench, *lines), agent="parcels", session_id=session)
        assert first.wait(timeout=20).state is TaskState.IN_REVIEW
        second = client.submit(
            script(bench, answer("And hello.")), agent="parcels", session_id=session
        )
        until(lambda: view(stack, second.id), what="the second task")
        time.sleep(1)
        assert view(stack, second.id).state is TaskState.QUEUED
        http.post(f"/v1/reviews/{review_of(http, first.id)['id']}/approve")
        assert second.wait(timeout=20).outcome.answer == "And hello."
    assert view(stack, first.id).state is TaskState.SUCCEEDED


def test_a_draft_in_review_does_not_keep_its_session_waiting(bench: Bench) -> None:
    session = f"s-{uuid4().hex[:8]}"
    with bench.fleet.client() as client, operator(bench) as http:
        text = script(bench, answer("In Lyon, I guess.", confidence=0.3))
        first = client.submit(text, agent="parcels", session_id=session)
        assert first.wait(timeout=20).state is TaskState.IN_REVIEW
        second = client.submit(
            script(bench, answer("And hello.")), agent="parcels", session_id=session
        )
        assert second.wait(timeout=20).outcome.answer == "And hello."
        http.post(f"/v1/reviews/{review_of(http, first.id)['id']}/approve")
        assert client.status(first.id).outcome.answer == "In Lyon, I guess."
