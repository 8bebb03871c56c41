"""Money through the whole loop: bounded, counted once whatever dies, passed by a person's word."""

from decimal import Decimal

import pytest

from fleet_contracts.outcome import ReviewKind
from fleet_contracts.states import TaskState
from fleet_workers.agents.manifest import Limits
from fleet_workers.review.decisions import Ruling
from fleet_workers.store.engine import open_engine
from unit.controller.gated import COST, GatedWorld
from unit.machine.strikes import Strike

SPENT = [("spent", Decimal(5))]
SETTLING = ("journal.after", 3)
WHERE = [("journal.before", nth) for nth in range(5)]
WHERE += [("journal.after", nth) for nth in range(5)]
WHERE += [("fence", 0), ("fence", 1), ("tool.before", 0), ("tool.after", 0), ("leave.written", 0)]


@pytest.mark.parametrize(("point", "nth"), WHERE)
def test_wherever_a_worker_dies_a_sum_counts_once(world: GatedWorld, point: str, nth: int) -> None:
    world.agent_file(spend={"moved_per_task": 5, "moved_per_tenant_day": 5})
    task_id = world.submit(["refund"])
    world.work(Strike(action="kill", at=point, nth=nth))
    world.settle()
    assert world.state(task_id) == TaskState.SUCCEEDED
    assert world.paid_out() == world.total() == world.total(f"task {task_id}") == 5
    ((state, amount),) = world.entries()
    # A worker that dies between a write's end and its settling leaves it reserved.
    assert (state, amount) == ("reserved" if (point, nth) == SETTLING else "spent", 5)


def test_a_call_over_the_limit_waits_for_a_person_who_lets_it_pass_and_no_other(
    world: GatedWorld,
) -> None:
    world.agent_file(spend={"moved_per_action": 100, "moved_per_tenant_day": 400})
    task_id = world.submit(["large_refund", "large_refund", "refund"])
    world.settle()
    assert world.review().kind == ReviewKind.OVER_BUDGET
    assert "limit of one action, 100.00 USD" in world.review().reason
    assert "day's limit of acme of 400.00 USD" in world.review().reason
    assert world.paid_out() == world.total() == 0
    # When a person lets the first one pass, and the worker dies in it
    world.say(Ruling.APPROVE)
    world.work(Strike(action="kill", at="tool.after"))
    world.settle()
    # I expect it to be done once, and the second one to wait for its own word
    assert world.paid_out() == world.total() == 500
    assert world.review().kind == ReviewKind.OVER_BUDGET
    world.say(Ruling.REJECT, "Once is enough.")
    world.settle()
    # The small one is over the day's limit, too, which the first has used up
    assert "500.00 USD are used up" in world.review().reason
    world.say(Ruling.APPROVE)
    world.settle()
    assert world.state(task_id) == TaskState.SUCCEEDED
    assert world.paid_out() == world.total() == 505
    assert world.writer.last_words[0].given_up == {"0.1"}


def test_a_yes_to_one_more_call_is_no_yes_to_more_money(world: GatedWorld) -> None:
    limits = Limits(model_calls=9, tool_calls=0)
    world.agent_file(spend={"moved_per_action": 1}, limits=limits)
    task_id = world.submit(["refund"])
    world.settle()
    assert "tool calls" in world.review().reason
    world.say(Ruling.APPROVE)
    world.settle()
    assert "limit of one action" in world.review().reason
    assert world.paid_out() == 0
    world.say(Ruling.APPROVE)
    world.settle()
    assert world.state(task_id) == TaskState.SUCCEEDED
    assert world.paid_out() == 5


@pytest.mark.parametrize("was_done", [True, False])
def test_a_call_in_doubt_keeps_its_sum_until_a_person_says_that_it_was_not_done(
    world: GatedWorld, was_done: bool
) -> None:
    world.agent_file(refund={"repeat": "none"}, spend={"moved_per_tenant_day": 5})
    task_id = world.submit(["refund"])
    world.work(Strike(action="kill", at="tool.after" if was_done else "tool.before"))
    world.settle()
    assert world.review().kind == ReviewKind.IN_DOUBT
    assert world.entries() == [("reserved", 5)]
    world.say(Ruling.APPROVE if was_done else Ruling.REJECT, "It was not done.")
    world.settle()
    assert world.state(task_id) == TaskState.SUCCEEDED
    assert world.paid_out() == world.total() == 5
    assert world.entries() == (SPENT if was_done else [("released", Decimal(0)), *SPENT])


def test_a_refused_call_gives_its_sum_back(world: GatedWorld) -> None:
    world.agent_file(spend={"moved_per_tenant_day": 5})
    world.submit(["refund"])
    world.work(Strike(action="refuse", at="tool.before"))
    world.settle()
    assert world.entries() == [("released", 0)]
    assert world.total() == 0
    world.submit(["refund"])
    world.settle()
    assert world.paid_out() == world.total() == 5


def test_a_store_that_is_away_when_money_is_reserved_makes_the_task_wait(
    world: GatedWorld,
) -> None:
    away = open_engine("postgresql+psycopg://127.0.0.1:1/none", connections=1, application="x")
    world.guard(ledger=away)
    task_id = world.submit(["refund"])
    world.work()
    assert world.state(task_id) == TaskState.RETRYING
    assert world.paid_out() == 0
    away.dispose()
    world.guard()
    world.settle()
    assert world.state(task_id) == TaskState.SUCCEEDED
    assert world.paid_out() == world.total() == 5


def test_a_task_of_no_customer_has_no_room_of_its_own(world: GatedWorld) -> None:
    world.agent_file(spend={"moved_per_customer_day": 5})
    world.submit(["refund"])
    world.submit(["refund"])
    world.submit(["refund"], customer="c1")
    world.settle()
    assert world.review().kind == ReviewKind.OVER_BUDGET
    assert "tasks without a customer" in world.review().reason
    assert world.paid_out() == 10


# --- what models cost ----------------------------------------------------------------------------


@pytest.mark.parametrize("agent", ["clerk", "auto"])
def test_what_models_cost_is_reserved_and_then_counted_as_it_was(
    world: GatedWorld, agent: str
) -> None:
    world.price("1000")  # at most 0.10 USD a call
    asked = 2 + (agent == "auto")
    task_id = world.submit(["find_order"], agent=agent, budget_usd=Decimal("0.13"))
    world.settle()
    assert world.state(task_id) == TaskState.SUCCEEDED
    assert world.total(kind="cost") == world.total(f"task {task_id}", "cost") == asked * COST
    assert world.entries("cost") == [("spent", COST)] * asked


def test_a_tasks_budget_bounds_its_model_calls(world: GatedWorld) -> None:
    world.price("1000")
    world.submit(["find_order"] * 9, budget_usd=Decimal("0.13"))
    world.settle()
    assert world.review().kind == ReviewKind.OVER_BUDGET
    assert "the budget of this task of 0.13 USD; 0.04 USD are used up" in world.review().reason
    assert world.total(kind="cost") == 4 * COST


def test_a_day_of_a_tenant_is_bounded_over_all_its_tasks_and_agents(world: GatedWorld) -> None:
    world.price("1000")
    world.submit(["find_order"])  # its agent has no limit yet, and counts all the same
    world.settle()
    world.agent_file(spend={"cost_per_tenant_day": "0.12"})
    world.submit(["find_order"])
    world.settle()
    assert "the day's budget of acme" in world.review().reason
    assert world.total(kind="cost") == 3 * COST


@pytest.mark.parametrize("agent", ["clerk", "auto"])
def test_an_unknown_price_is_refused_where_there_is_a_limit(world: GatedWorld, agent: str) -> None:
    unlimited = world.submit(agent=agent)
    world.settle()
    assert world.state(unlimited) == TaskState.SUCCEEDED
    assert world.entries("cost") == []
    world.submit(agent=agent, budget_usd=Decimal(1))
    world.settle()
    assert "The price of paid is not known" in world.review().reason
    assert "FLEET_PRICES" in world.review().reason


def test_a_model_that_is_away_uses_up_no_budget(world: GatedWorld) -> None:
    world.price("1000")
    task_id = world.submit(budget_usd=Decimal("0.1"))
    for _ in range(3):
        world.work(Strike(action="away", at="model.before"))
        assert world.state(task_id) == TaskState.RETRYING
        assert world.total(kind="cost") == 0
        world.pass_time()
        world.sweep()
    world.settle()
    assert world.state(task_id) == TaskState.SUCCEEDED
    assert world.total(kind="cost") == COST


def test_a_worker_that_dies_in_a_model_call_leaves_what_it_may_have_cost(
    world: GatedWorld,
) -> None:
    world.price("1000")
    task_id = world.submit()
    world.work(Strike(action="kill", at="model.after"))
    world.settle()
    assert world.state(task_id) == TaskState.SUCCEEDED
    assert world.entries("cost") == [("reserved", Decimal("0.1")), ("spent", COST)]
