"""What follows where a budget is used up: a smaller model, a person, or no, as the file says."""

from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from fleet_contracts.outcome import OutcomeKind, ReviewKind
from fleet_contracts.states import TaskState
from fleet_workers.agents.manifest import Limits
from fleet_workers.controller.gatekeeper import Gatekeeper
from fleet_workers.controller.spent_budget import SHORT_ANSWER_TOKENS
from fleet_workers.models.messages import ChatReply, ChatRequest
from fleet_workers.models.prices import Price, Prices
from fleet_workers.resilience.guards import Guards
from fleet_workers.resilience.limits import RateLimits
from fleet_workers.store.accounts import add_tenant
from fleet_workers.store.audit_tables import audit_inbox
from fleet_workers.store.tables import steps
from unit.controller.gated import GatedWorld
from unit.machine.strikes import Strike
from unit.machine.writer import Writer

MOST = 4096
PRICES = Prices(
    by_model={
        # A whole answer is reserved at 4.096, 0.4096 and 0.04096 USD
        name: Price(input_usd=Decimal(0), output_usd=Decimal(usd))
        for name, usd in (("large-1", 1000), ("medium-1", 100), ("small-1", 10))
    }
)
COST = Decimal("0.01")


@dataclass
class TieredWriter:
    """The machine's model in three sizes; every answer costs a cent."""

    writer: Writer
    asked: list[tuple[str, int | None]] = field(default_factory=list)

    def complete(self, request: ChatRequest) -> ChatReply:
        self.asked.append((request.tier, request.max_output_tokens))
        return replace(self.writer.complete(request), cost_usd=COST, candidate=f"{request.tier}-1")


@pytest.fixture
def model(world: GatedWorld) -> TieredWriter:
    """Three tiers behind a gatekeeper."""
    model = TieredWriter(world.writer)
    gatekeeper = Gatekeeper(
        guards=Guards(breakers=world.breakers, limits=RateLimits(None), switches=world.board),
        engine=world.engine,
        prices=PRICES,
        models={tier: [f"{tier}-1"] for tier in ("small", "medium", "large")},
        max_output_tokens=MOST,
    )
    world.ports = replace(world.ports, model=model, admission=gatekeeper)
    return model


def plans(world: GatedWorld) -> list[dict[str, Any]]:
    query = select(steps.c.request).where(steps.c.kind == "plan").order_by(steps.c.seq)
    with world.engine.connect() as connection:
        return [dict(each) for each in connection.execute(query).scalars()]


def outcome(world: GatedWorld, task_id: UUID) -> dict[str, Any]:
    row = world.task(task_id)
    assert row is not None
    return dict(row.outcome)


@pytest.mark.parametrize(
    ("budget", "asked"),
    [
        ("5", ("large", None)),
        ("0.5", ("medium", None)),
        ("0.05", ("small", None)),
        ("0.02", ("small", SHORT_ANSWER_TOKENS)),
    ],
)
def test_a_smaller_question_is_asked_while_one_fits(
    world: GatedWorld, model: TieredWriter, budget: str, asked: tuple[str, int | None]
) -> None:
    world.agent_file(tier="large", spend={"when_spent": "smaller"})
    task_id = world.submit(budget_usd=Decimal(budget))
    world.settle()
    assert world.state(task_id) == TaskState.SUCCEEDED
    assert model.asked == [asked]
    (plan,) = plans(world)
    assert plan["tier"] == asked[0]
    # I expect the journal to say what was wanted, and why it was not to be had
    assert plan.get("degraded_from") == ("large" if asked[0] != "large" else None)
    assert plan.get("most_tokens") == asked[1]
    assert ("large-1 for 4.096" in plan.get("degraded_because", "")) == (budget != "5")


def test_what_is_reserved_for_a_smaller_question_lets_no_larger_one_pass(
    world: GatedWorld, model: TieredWriter
) -> None:
    # Given a worker that dies between reserving for a smaller question and asking it
    world.agent_file(tier="large", spend={"when_spent": "smaller"})
    task_id = world.submit(budget_usd=Decimal("0.5"))
    world.work(Strike(action="kill", at="journal.before"))
    assert model.asked == []
    assert world.entries("cost") == [("reserved", Decimal("0.4096"))]
    # When another worker goes on, I expect it to find no more room than there is
    world.settle()
    assert world.state(task_id) == TaskState.SUCCEEDED
    assert model.asked == [("medium", None)]
    assert world.entries("cost") == [("spent", COST)]


def test_a_person_takes_over_where_the_smallest_does_not_fit(
    world: GatedWorld, model: TieredWriter
) -> None:
    world.agent_file(tier="large", spend={"when_spent": "smaller"})
    world.submit(budget_usd=Decimal("0.01"))
    world.settle()
    assert world.review().kind == ReviewKind.OVER_BUDGET
    assert "shorter answer, would not fit either" in world.review().reason
    assert model.asked == []
    assert world.entries("cost") == []


def test_without_a_word_a_person_takes_over_at_once(world: GatedWorld, model: TieredWriter) -> None:
    world.agent_file(tier="large")
    world.submit(budget_usd=Decimal("0.5"))
    world.settle()
    assert world.review().kind == ReviewKind.OVER_BUDGET
    assert model.asked == []


def test_a_refused_task_ends_with_its_reason_for_who_asked(
    world: GatedWorld, model: TieredWriter
) -> None:
    world.agent_file(tier="large", spend={"cost_per_tenant_day": 4, "when_spent": "refuse"})
    task_id = world.submit(reply_to="reply.acme")
    world.settle()
    assert world.state(task_id) == TaskState.REJECTED
    found = outcome(world, task_id)
    assert found["kind"] == OutcomeKind.REJECTED
    assert "the day's budget of acme of 4.00 USD" in found["reason"]
    assert model.asked == []
    assert world.entries("cost") == []
    # I expect an answer on its way, an entry in the trail, and neither an item nor a dead letter
    assert len(world.broker.replies) == 1
    assert world.rows("reviews") == world.rows("dead_letters") == []
    with world.engine.connect() as connection:
        said = connection.execute(select(audit_inbox.c.what, audit_inbox.c.why)).all()
    assert ("spend refuse", "budget") in {(row.what, row.why) for row in said}


def test_what_has_changed_something_is_not_refused(world: GatedWorld, model: TieredWriter) -> None:
    world.agent_file(tier="small", spend={"when_spent": "refuse"})
    # Given money for one call, which leads to a write
    world.submit(["note"], budget_usd=Decimal("0.045"))
    world.settle()
    assert [effect.tool for effect in world.business.effects] == ["note"]
    assert world.review().kind == ReviewKind.OVER_BUDGET
    assert len(model.asked) == 1


def test_an_agents_day_counts_all_tenants_and_tells_none_of_the_others(
    world: GatedWorld, model: TieredWriter
) -> None:
    with world.engine.begin() as connection:
        add_tenant(connection, "other")
    world.agent_file(tier="small", spend={"cost_per_agent_day": "0.05"})
    world.submit(tenant="other")
    world.settle()
    world.submit()
    world.settle()
    assert world.review().tenant == "acme"
    assert world.review().reason.endswith("would pass the day's budget of clerk.")
    assert world.total("agent clerk", "cost") == COST
    assert len(model.asked) == 1


def test_an_agents_day_with_one_tenant_leaves_the_others_alone(
    world: GatedWorld, model: TieredWriter
) -> None:
    with world.engine.begin() as connection:
        add_tenant(connection, "other")
    world.agent_file(tier="small", spend={"cost_per_tenant_agent_day": "0.05"})
    ids = [world.submit(tenant=tenant) for tenant in ("acme", "acme", "other")]
    world.settle()
    states = [world.state(each) for each in ids]
    assert states == [TaskState.SUCCEEDED, TaskState.IN_REVIEW, TaskState.SUCCEEDED]
    assert "day's budget of clerk for acme of 0.05 USD; 0.01 USD" in world.review().reason


def test_an_agent_may_keep_its_answers_short(world: GatedWorld, model: TieredWriter) -> None:
    world.agent_file(tier="small", limits=Limits(answer_tokens=100))
    # 100 tokens cost at most 0.001 USD
    task_id = world.submit(budget_usd=Decimal("0.001"))
    world.settle()
    assert world.state(task_id) == TaskState.SUCCEEDED
    assert model.asked == [("small", 100)]
