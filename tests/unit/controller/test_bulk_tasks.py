"""Tasks of priority bulk whose first plan comes from the provider's Batch API, a day later."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, text

from fleet_contracts.envelope import Priority
from fleet_contracts.states import TaskState
from fleet_workers.agents.batching import BatchingSection
from fleet_workers.controller.expenses import most_input_tokens
from fleet_workers.controller.gatekeeper import Gatekeeper
from fleet_workers.janitor.bulk import BulkClerk
from fleet_workers.models.asking import Asking
from fleet_workers.models.batching.link import Batched
from fleet_workers.models.bulk.batch_api import BatchApi
from fleet_workers.models.bulk.link import Filing
from fleet_workers.models.candidates import MAIN, Candidate
from fleet_workers.models.capabilities import Capabilities
from fleet_workers.models.endpoint import Address, Endpoint
from fleet_workers.models.gateway import Gateway
from fleet_workers.models.prices import Price, Prices
from fleet_workers.resilience.breakers import Breakers
from fleet_workers.resilience.guards import Guards
from fleet_workers.resilience.limits import RateLimits
from fleet_workers.store.journal import StepKind, read_steps
from fleet_workers.store.model_tables import bulk_requests
from support.batch_api import Batches, batch_endpoint
from unit.controller.gated import GatedWorld

MOST = 100
PRICES = Prices(
    by_model={
        "priced": Price(input_usd=Decimal(5), output_usd=Decimal(20), batch_discount=Decimal("0.5"))
    }
)
NOW = timedelta(0)


@dataclass
class Office:
    """A fleet whose tasks may wait for the provider's Batch API."""

    world: GatedWorld
    batches: Batches
    apis: dict[str, BatchApi]

    def clerk(self, **options: Any) -> BulkClerk:
        return BulkClerk(self.world.engine, self.apis, gathered=NOW, **options)

    def submit(self, **fields: Any) -> UUID:
        return self.world.submit(**{"priority": Priority.BULK, **fields})

    def states(self) -> list[str]:
        with self.world.engine.connect() as connection:
            query = select(bulk_requests.c.state).order_by(bulk_requests.c.created_at)
            return list(connection.execute(query).scalars())

    def wake(self) -> None:
        """Sweep as a janitor does, without letting time pass, and work."""
        self.world.sweep()
        self.world.work()

    def is_due(self, task_id: UUID) -> bool:
        row = self.world.task(task_id)
        assert row is not None
        return bool(row.due_at <= datetime.now(UTC) + timedelta(seconds=1))


@pytest.fixture
def office(world: GatedWorld) -> Iterator[Office]:
    with open_office(world) as found:
        yield found


@contextmanager
def open_office(world: GatedWorld) -> Iterator[Office]:
    world.agent_file(batching=BatchingSection(bulk=True))
    with batch_endpoint() as batches:
        address = Address(name=MAIN, base_url=batches.url, api_key="k")
        gateway = Gateway(
            addresses=[address],
            candidates={"small": [Candidate(model="priced")]},
            breakers=Breakers(),
            prices=PRICES,
            asking=Asking(capabilities=Capabilities(), most_tokens=MOST),
        )
        gatekeeper = Gatekeeper(
            guards=Guards(breakers=Breakers(), limits=RateLimits(None), switches=world.board),
            engine=world.engine,
            prices=PRICES,
            models={"small": ["priced"]},
            max_output_tokens=MOST,
        )
        batched = Batched(gateway, prices=PRICES, most_tokens=most_input_tokens)
        filing = Filing(batched, gateway=gateway, engine=world.engine)
        world.ports = replace(world.ports, model=filing, admission=gatekeeper)
        endpoint = Endpoint(address)
        try:
            yield Office(world, batches, {MAIN: BatchApi(endpoint)})
        finally:
            endpoint.close()
            gateway.close()


def test_a_bulk_task_waits_for_the_cheap_answer_and_ends_with_it(office: Office) -> None:
    world = office.world
    tasks = [office.submit() for _ in range(3)]
    world.work()
    # I expect no slot held, no attempt used, nothing asked yet, and the money kept apart
    assert [world.state(each) for each in tasks] == [TaskState.RETRYING] * 3
    assert [world.attempts(each) for each in tasks] == [0] * 3
    assert office.batches.asked_at_once == []
    assert {state for state, _ in world.entries("cost")} == {"reserved"}
    clerk = office.clerk()
    clerk.work()
    assert len(office.batches.batches) == 1
    assert len(office.batches.questions) == 3
    clerk.work()
    office.wake()
    assert world.state(tasks[0]) == TaskState.RETRYING
    office.batches.finish()
    clerk.work()
    office.wake()
    assert [world.state(each) for each in tasks] == [TaskState.SUCCEEDED] * 3
    assert office.batches.asked_at_once == []
    # I expect half the price, once for each, and nothing that stays reserved
    charged = office.batches.model.cost_usd(input_usd=5, output_usd=20) / 2
    assert sum(usd for _, usd in world.entries("cost")) == charged
    assert [state for state, _ in world.entries("cost")] == ["spent"] * 3
    with world.engine.connect() as connection:
        journal = read_steps(connection, tasks[0])
    plan = next(each for each in journal if each.kind is StepKind.PLAN and each.result)
    assert plan.result is not None
    assert plan.result["source"] == "batch_api"
    assert Decimal(plan.result["saved_usd"]) > 0
    clerk.work()
    assert office.states() == []


@pytest.mark.parametrize("why", ["priority", "deadline", "session"])
def test_what_has_no_time_is_asked_at_once(office: Office, why: str) -> None:
    fields: dict[str, Any] = {
        "priority": {"priority": Priority.NORMAL},
        "deadline": {"deadline": datetime.now(UTC) + timedelta(hours=2)},
        "session": {"session_id": "s1"},
    }[why]
    task = office.submit(**fields)
    office.world.work()
    assert office.world.state(task) == TaskState.SUCCEEDED
    assert office.states() == []


def test_an_endpoint_without_a_batch_api_is_asked_at_once_and_remembered(office: Office) -> None:
    office.batches.refuse = 404
    task = office.submit()
    office.world.work()
    office.clerk().work()
    office.wake()
    assert office.world.state(task) == TaskState.SUCCEEDED
    assert office.world.attempts(task) == 0
    second = office.submit()
    office.world.work()
    assert office.world.state(second) == TaskState.SUCCEEDED
    assert len(office.batches.asked_at_once) == 2
    office.clerk().work()
    assert office.states() == ["not_offered"]


@pytest.mark.parametrize("status", ["expired", "failed", "cancelled", "completed"])
def test_questions_without_an_answer_are_asked_one_by_one(office: Office, status: str) -> None:
    world = office.world
    tasks = [office.submit() for _ in range(3)]
    world.work()
    clerk = office.clerk()
    clerk.work()
    office.batches.finish(status, answered=2)
    clerk.work()
    office.wake()
    assert [world.state(each) for each in tasks] == [TaskState.SUCCEEDED] * 3
    assert len(office.batches.asked_at_once) == 1
    assert {state for state, _ in world.entries("cost")} == {"spent"}


def test_a_task_that_is_cancelled_meanwhile_takes_its_question_along(office: Office) -> None:
    world = office.world
    before, after = office.submit(), office.submit()
    world.work()
    cancel(world, before)
    clerk = office.clerk()
    clerk.work()
    clerk.work()
    cancel(world, after)
    office.batches.finish()
    clerk.work()
    clerk.work()
    assert office.states() == []
    office.wake()
    assert [world.state(each) for each in (before, after)] == [TaskState.CANCELLED] * 2


def cancel(world: GatedWorld, task_id: UUID) -> None:
    with world.engine.begin() as connection:
        connection.execute(
            text("UPDATE tasks SET state = 'cancelled', finished_at = now() WHERE id = :id"),
            {"id": task_id},
        )


def test_two_janitors_send_each_question_once(office: Office) -> None:
    for _ in range(4):
        office.submit()
    office.world.work()
    clerks = [office.clerk(), office.clerk()]
    run_both(clerks)
    assert sorted(office.batches.questions) == sorted(set(office.batches.questions))
    assert len(office.batches.questions) == 4
    office.batches.finish()
    run_both(clerks)
    office.wake()
    assert {each.state for each in office.world.all_tasks()} == {TaskState.SUCCEEDED}
    assert office.batches.asked_at_once == []


def run_both(clerks: list[BulkClerk]) -> None:
    with ThreadPoolExecutor(2) as slots:
        list(slots.map(lambda each: each.work(), clerks))


@pytest.mark.parametrize("lost_after", ["/files", "/batches"])
def test_a_janitor_that_stops_in_the_middle_loses_no_question(
    office: Office, lost_after: str
) -> None:
    task = office.submit()
    office.world.work()
    # Given that the provider did its part, and that its word did not reach us
    office.batches.cut_after = lost_after
    office.clerk().work()
    assert office.states() == ["sending"]
    # When another one looks later
    office.clerk(answered_by=NOW).work()
    office.clerk().work()
    # I expect the batch to be found again where there is one, else sent
    assert len(office.batches.batches) == 1
    office.batches.finish()
    office.clerk().work()
    office.wake()
    assert office.world.state(task) == TaskState.SUCCEEDED
    assert [state for state, _ in office.world.entries("cost")] == ["spent"]


@pytest.mark.parametrize("status", [429, 500, 401])
def test_an_endpoint_in_trouble_keeps_what_was_sent(office: Office, status: int) -> None:
    task = office.submit()
    office.world.work()
    office.clerk().work()
    office.batches.finish()
    office.batches.refuse = status
    office.clerk().work()
    assert office.states() == ["sent"]
    office.batches.refuse = None
    office.clerk().work()
    office.wake()
    assert office.world.state(task) == TaskState.SUCCEEDED
    assert office.batches.asked_at_once == []


def test_an_answer_that_is_none_is_paid_for_and_asked_for_anew(office: Office) -> None:
    world = office.world
    task = office.submit()
    world.work()
    clerk = office.clerk()
    clerk.work()
    office.batches.finish()
    for lines in office.batches.files.values():
        for line in lines:
            if "response" in line:
                line["response"]["body"]["choices"] = []
    clerk.work()
    office.wake()
    assert (world.state(task), world.attempts(task)) == (TaskState.RETRYING, 1)
    world.pass_time()
    office.wake()
    assert world.state(task) == TaskState.SUCCEEDED
    assert len(office.batches.asked_at_once) == 1
    assert [state for state, _ in world.entries("cost")] == ["spent", "spent"]


def test_a_budget_for_one_answer_is_enough_and_is_kept_while_waiting(office: Office) -> None:
    world = office.world
    task = office.submit()
    world.work()
    ((_, reserved),) = world.entries("cost")
    second = office.submit(budget_usd=reserved + Decimal("0.001"))
    office.clerk().work()
    world.work()
    office.clerk().work()
    for _ in range(2):  # woken for nothing, it waits on, under the same reservation
        world.pass_time()
        office.wake()
    assert world.total(f"task {second}", "cost") <= reserved + Decimal("0.001")
    assert len(world.entries("cost")) == 2
    office.batches.finish()
    office.clerk().work()
    office.wake()
    assert [world.state(each) for each in (task, second)] == [TaskState.SUCCEEDED] * 2
    assert [state for state, _ in world.entries("cost")] == ["spent"] * 2


def test_a_janitor_without_a_key_gives_questions_back(office: Office) -> None:
    task = office.submit()
    office.world.work()
    BulkClerk(office.world.engine, {}, gathered=NOW).work()
    office.wake()
    assert office.world.state(task) == TaskState.SUCCEEDED
    assert len(office.batches.asked_at_once) == 1


def test_questions_wait_for_others_to_go_along(office: Office) -> None:
    office.submit()
    office.world.work()
    BulkClerk(office.world.engine, office.apis).work()
    assert office.states() == ["waiting"]
