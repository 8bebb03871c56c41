"""What is taken in without a slot is lost by nobody, and waits for nobody who is quiet."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import pytest
from sqlalchemy import text

from fleet_client import FleetClient
from fleet_contracts.states import TaskState
from fleet_workers.testing import answer, call
from support.bench import Bench, script, until, view
from support.fleet_processes import FleetProcess
from support.stacks import Stack

MANY = 60


@contextmanager
def frail_worker(bench: Bench, *, slots: int) -> Iterator[FleetProcess]:
    worker = bench.fleet.start_worker("frail", slots=slots)
    bench.fleet.wait_ready()
    try:
        yield worker
    finally:
        worker.stop()


def count(stack: Stack, state: str) -> int:
    query = text("SELECT count(*) FROM tasks WHERE agent = 'frail' AND state = :state")
    with stack.engine.begin() as connection:
        return int(connection.execute(query, {"state": state}).scalar_one())


@pytest.mark.timeout(300)  # a busy machine; by itself it takes some seconds
def test_a_worker_that_is_killed_with_many_taken_in_loses_none(bench: Bench, stack: Stack) -> None:
    order = f"ord_{uuid4().int % 10**9}"
    begun_with = count(stack, TaskState.SUCCEEDED)
    with frail_worker(bench, slots=2) as victim, bench.fleet.client() as client:
        # Given a worker whose slots are held, and a flood of messages
        bench.shop.hold_reads(order)
        held = [
            client.submit(
                script(bench, call("track_parcel", order_id=order), answer("In Lyon.")),
                agent="frail",
            )
            for _ in range(2)
        ]
        until(lambda: bench.shop.asked.get(("track", order), 0) == 2, what="the slots to be taken")
        one = script(bench, answer("Done."))
        many = [client.submit(one, agent="frail") for _ in range(MANY)]
        # When all stand in the store, though no slot is free, and the worker is killed
        until(lambda: count(stack, TaskState.QUEUED) >= MANY, seconds=30, what="the intake")
        victim.kill()
        bench.shop.release(order)
        # Then another finds them without any message
        with frail_worker(bench, slots=10):
            for task in (*held, *many):
                assert task.wait(timeout=90).state is TaskState.SUCCEEDED
    assert count(stack, TaskState.SUCCEEDED) == begun_with + MANY + 2


@pytest.mark.timeout(300)  # as above
def test_a_quiet_tenant_goes_before_what_another_has_queued(bench: Bench, stack: Stack) -> None:
    with frail_worker(bench, slots=1), bench.fleet.client() as client:
        order = f"ord_{uuid4().int % 10**9}"
        bench.shop.hold_reads(order)
        lines = [call("track_parcel", order_id=order), answer("In Lyon.")]
        client.submit(script(bench, *lines), agent="frail")
        until(lambda: bench.shop.asked.get(("track", order)), what="the slot to be taken")
        one = script(bench, answer("Done."))
        loud = [client.submit(one, agent="frail") for _ in range(20)]
        until(lambda: all(view(stack, each.id) for each in loud), seconds=20, what="the intake")
        urgent = client.submit(one, agent="frail", priority="high")
        with FleetClient(
            broker_url=stack.broker_url, api_url="", api_key="", tenant="globex"
        ) as other:
            quiet = other.submit(one, agent="frail")
            until(lambda: view(stack, quiet.id), seconds=20, what="the quiet one")
            until(lambda: view(stack, urgent.id), seconds=20, what="the urgent one")
            bench.shop.release(order)
            assert loud[-1].wait(timeout=60).state is TaskState.SUCCEEDED
    with stack.engine.begin() as connection:
        query = text(
            "SELECT id FROM tasks WHERE agent = 'frail' AND id = ANY (:ids) ORDER BY started_at"
        )
        ids = [*(each.id for each in loud), urgent.id, quiet.id]
        order_of_starts = list(connection.execute(query, {"ids": ids}).scalars())
    assert order_of_starts[0] == quiet.id
    assert order_of_starts[1] == urgent.id
    assert order_of_starts[2:] == [each.id for each in loud]
