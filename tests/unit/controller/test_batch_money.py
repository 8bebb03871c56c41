"""Money of shared model calls: every share under its own reservation, and never too little."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import select

from fleet_contracts.envelope import TaskEnvelope, build_envelope
from fleet_contracts.errors import TimedOut
from fleet_contracts.outcome import ReviewKind
from fleet_workers.agents import AgentCatalogue
from fleet_workers.agents.batching import BatchingSection
from fleet_workers.controller.decision import Finish, Park, Reroute
from fleet_workers.controller.expenses import most_input_tokens
from fleet_workers.controller.gatekeeper import Gatekeeper
from fleet_workers.controller.loop import run_loop
from fleet_workers.models.asking import Asking
from fleet_workers.models.batching.link import Batched
from fleet_workers.models.candidates import MAIN, Candidate
from fleet_workers.models.capabilities import Capabilities
from fleet_workers.models.endpoint import Address
from fleet_workers.models.gateway import Gateway
from fleet_workers.models.messages import ChatReply, ChatRequest
from fleet_workers.models.prices import Price, Prices
from fleet_workers.resilience.breakers import Breakers
from fleet_workers.resilience.guards import Guards
from fleet_workers.resilience.limits import RateLimits
from fleet_workers.store.memory_journal import MemoryJournal
from fleet_workers.store.money_tables import spend_entries
from support.batch_model import BatchModel, holding, requests_in
from support.model_endpoint import Answering, Body, ModelEndpoint, Told, model_endpoint
from unit.controller.gated import GatedWorld

NUMBER = 6
MOST_OUTPUT = 400
PRICE = Price(input_usd=Decimal(5), output_usd=Decimal(20))
PRICES = Prices(by_model={"priced": PRICE})
Ended = Finish | Park | Reroute | Exception


@dataclass
class Listening:
    """Keeps the most that each task's question may cost, which is what is reserved for it."""

    model: Batched
    reserved_usd: dict[str, Decimal]

    def complete(self, request: ChatRequest) -> ChatReply:
        assert request.asked_for is not None
        most = PRICE.input_usd * most_input_tokens(request) + PRICE.output_usd * MOST_OUTPUT
        self.reserved_usd[request.asked_for.task_id] = most / 1_000_000
        return self.model.complete(request)


@dataclass
class Office:
    """Slots that work on tasks of an agent whose file lets requests share calls."""

    world: GatedWorld
    endpoint: ModelEndpoint
    model: Listening

    def work(self, envelopes: Sequence[TaskEnvelope]) -> list[Ended]:
        """All at once, each in a slot of its own."""
        begin = Barrier(len(envelopes))

        def run(envelope: TaskEnvelope) -> Ended:
            begin.wait()
            try:
                return run_loop(
                    agent="clerk",
                    envelope=envelope,
                    catalogue=self.world.catalogue,
                    journal=MemoryJournal(),
                    ports=self.world.ports,
                )
            except Exception as error:  # noqa: BLE001 the test looks at it
                return error

        with ThreadPoolExecutor(len(envelopes)) as slots:
            return list(slots.map(run, envelopes))

    def paid(self) -> dict[str, list[Decimal]]:
        """What stands in the ledger, by task."""
        found: dict[str, list[Decimal]] = {}
        with self.world.engine.connect() as connection:
            for row in connection.execute(select(spend_entries)):
                found.setdefault(str(row.task_id), []).append(row.amount_usd)
        return found


@contextmanager
def office(world: GatedWorld, answering: Answering, *, timeout: float = 10.0) -> Iterator[Office]:
    world.agent_file(batching=BatchingSection(most=NUMBER, longest_wait_ms=1500))
    release = replace(world.catalogue.get("clerk"), prompt="You help a shop's customers. " * 80)
    world.catalogue = AgentCatalogue([release])
    with model_endpoint(holding(answering)) as endpoint:
        gateway = Gateway(
            addresses=[Address(name=MAIN, base_url=endpoint.url, api_key="k")],
            candidates={"small": [Candidate(model="priced")]},
            breakers=Breakers(),
            prices=PRICES,
            asking=Asking(capabilities=Capabilities(), most_tokens=MOST_OUTPUT),
        )
        gatekeeper = Gatekeeper(
            guards=Guards(breakers=Breakers(), limits=RateLimits(None), switches=world.board),
            engine=world.engine,
            prices=PRICES,
            models={"small": ["priced"]},
            max_output_tokens=MOST_OUTPUT,
        )
        batched = Batched(gateway, prices=PRICES, most_tokens=most_input_tokens)
        model = Listening(batched, {})
        world.ports = replace(
            world.ports, model=model, admission=gatekeeper, model_timeout_seconds=timeout
        )
        try:
            yield Office(world, endpoint, model)
        finally:
            gateway.close()


def tasks(number: int, **fields: Any) -> list[TaskEnvelope]:
    return [
        build_envelope(
            tenant="acme",
            agent="clerk",
            input=f"This is request {chr(65 + each) * 9} of the day.",
            **fields,
        )
        for each in range(number)
    ]


def reservation(office: Office) -> Decimal:
    """What one question reserves: found by asking one."""
    (envelope,) = tasks(1)
    office.work([envelope])
    return office.model.reserved_usd[str(envelope.id)]


def charged(model: BatchModel) -> Decimal:
    """What the endpoint charges by its own count."""
    return model.cost_usd(input_usd=5, output_usd=20)


def shared(asked: Any) -> list[int]:
    return [len(found) for body in asked.bodies if (found := requests_in(body))]


def drop_one(_answer: Body, results: list[Body]) -> None:
    results.pop()


def break_one(_answer: Body, results: list[Body]) -> None:
    results[0]["calls"][0]["name"] = "unheard_of"


Spoil = Callable[[Body, list[Body]], None]


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (None, [1, 1, 1, 1, 1, 1, 1]),
        (drop_one, [1, 3, 3, 4, 4, 4, 4]),  # 6, then 3 and 3, then 2 and 2, then each alone
        (break_one, [1, 1, 1, 1, 1, 1, 2]),
    ],
)
def test_every_share_is_paid_within_its_own_reservation(
    world: GatedWorld, spoil: Spoil | None, expected: list[int]
) -> None:
    model = BatchModel(spoil=spoil, wait=0.1)
    with office(world, model) as found:
        ended = found.work(tasks(NUMBER + 1))
        assert [type(each) for each in ended] == [Finish] * (NUMBER + 1)
        assert shared(found.endpoint.asked)[0] == NUMBER
        paid = found.paid()
        # I expect each call, failed ones included, to be paid in full and by nobody more than once
        total = sum((sum(each) for each in paid.values()), Decimal(0))
        assert charged(model) <= total <= charged(model) + Decimal("0.000001")
        for task_id, sums in paid.items():
            assert max(sums) <= found.model.reserved_usd[task_id]
        rounds = sorted(len(sums) for sums in paid.values())
        assert rounds == expected


def test_a_task_whose_budget_a_failed_batch_has_used_up_goes_to_a_person(world: GatedWorld) -> None:
    with office(world, BatchModel(spoil=drop_one, wait=0.1)) as found:
        # Given budgets for exactly one answer, as they would do for tasks that go alone
        budget = reservation(found) + Decimal("0.00001")
        envelopes = tasks(NUMBER + 1, budget_usd=budget)
        ended = found.work(envelopes)
        kinds = [each.kind if isinstance(each, Park) else type(each) for each in ended]
        assert kinds.count(ReviewKind.OVER_BUDGET) == NUMBER
        assert kinds.count(Finish) == 1
        paid = found.paid()
        assert all(sum(paid[str(each.id)]) <= budget for each in envelopes)


def test_a_day_is_never_overspent_by_shared_calls(world: GatedWorld) -> None:
    model = BatchModel(spoil=drop_one, wait=0.05)
    with office(world, model) as found:
        limit = reservation(found) * 4
        manifest = world.catalogue.get("clerk").manifest
        spend = manifest.spend.model_copy(update={"cost_per_tenant_day": limit})
        release = world.catalogue.get("clerk")
        release = replace(release, manifest=manifest.model_copy(update={"spend": spend}))
        world.catalogue = AgentCatalogue([release])
        for _ in range(4):
            ended = found.work(tasks(NUMBER + 1))
            assert {type(each) for each in ended} <= {Finish, Park}
            assert world.total("tenant acme", "cost") <= limit
        assert charged(model) <= world.total("tenant acme", "cost")


def test_a_shared_call_that_comes_too_late_stays_reserved_for_each(world: GatedWorld) -> None:
    model = BatchModel()

    def answer(path: str, body: Body) -> Told:
        wait = 0.1 if requests_in(body) is None else 2.0
        return Told(parts=model(path, body).parts, wait=wait)

    with office(world, answer, timeout=0.6) as found:
        ended = found.work(tasks(NUMBER + 1))
        assert [isinstance(each, TimedOut) for each in ended].count(True) == NUMBER
        reserved = [row.amount_usd for row in rows(world) if row.state == "reserved"]
        assert len(reserved) == NUMBER
        assert sum(reserved) >= charged(model)


def rows(world: GatedWorld) -> list[Any]:
    with world.engine.connect() as connection:
        return list(connection.execute(select(spend_entries)))
