"""What holds at the moment of a call: rates, tools that are away, rights, sums that are none."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from pydantic import create_model

from fleet_contracts.envelope import build_envelope
from fleet_contracts.errors import PolicyError, Unavailable
from fleet_contracts.outcome import ReviewKind
from fleet_contracts.states import TaskState
from fleet_workers.controller.admission import ProposedCall
from fleet_workers.controller.expenses import call_expenses
from fleet_workers.resilience.redis_link import open_link
from fleet_workers.review.decisions import Ruling
from fleet_workers.store import accounts, rights, switches, tables
from support.embedded_stack import temporary_servers
from unit.controller.gated import GatedWorld, fail_once
from unit.machine.strikes import Strike


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with temporary_servers() as servers:
        yield servers.valkey.url(1)


def away_by_breaker(world: GatedWorld) -> Callable[[], None]:
    """Let refunds fail; gives what makes them work again."""
    fail_once(world, "refund", Unavailable("down"))
    return lambda: time.sleep(0.45)


def away_by_switch(world: GatedWorld) -> Callable[[], None]:
    """Disable refunds; gives what enables them."""

    def wait_until(is_disabled: bool) -> None:
        end = time.monotonic() + 2
        while bool(world.board.disabled("refund", tenant="acme", agent="clerk")) != is_disabled:
            assert time.monotonic() < end
            time.sleep(0.01)

    with world.engine.begin() as connection:
        switches.disable(
            connection, tool="refund", tenant="*", agent="*", reason="repair", disabled_by="ann"
        )
    wait_until(is_disabled=True)

    def enable() -> None:
        with world.engine.begin() as connection:
            switches.enable(connection, tool="refund", tenant="*", agent="*", enabled_by="ann")
        wait_until(is_disabled=False)

    return enable


AWAY = pytest.mark.parametrize("away", [away_by_breaker, away_by_switch])
Away = Callable[[GatedWorld], Callable[[], None]]


def wait_once(world: GatedWorld, task_id: Any) -> None:
    """A task that waits is due again, and has used up no attempt."""
    assert world.state(task_id) == TaskState.RETRYING
    assert world.attempts(task_id) == 0
    row = world.task(task_id)
    assert row is not None
    assert row.due_at is not None
    world.pass_time()
    world.sweep()
    world.work()


@AWAY
def test_a_task_waits_for_a_tool_that_is_away_and_goes_on(world: GatedWorld, away: Away) -> None:
    come_back = away(world)
    task_id = world.submit(["find_order", "refund"])
    world.work()
    for _ in range(2):
        assert world.paid_out() == world.total() == 0
        if away is away_by_switch:
            wait_once(world, task_id)
    come_back()
    wait_once(world, task_id)
    assert world.state(task_id) == TaskState.SUCCEEDED
    assert world.paid_out() == world.total() == 5


@AWAY
def test_an_agent_goes_on_without_a_tool_that_is_away(world: GatedWorld, away: Away) -> None:
    world.agent_file(when_away={"refund": "without"})
    away(world)
    task_id = world.submit(["refund", "note"])
    world.settle()
    assert world.state(task_id) == TaskState.SUCCEEDED
    assert [effect.tool for effect in world.business.effects] == ["note"]
    assert world.writer.last_words[0].given_up == {"0.0"}
    assert world.total() == 0


@AWAY
def test_a_person_is_asked_about_a_tool_that_is_away_once(world: GatedWorld, away: Away) -> None:
    world.agent_file(when_away={"refund": "review"})
    come_back = away(world)
    task_id = world.submit(["refund"])
    world.work()
    assert world.review().kind == ReviewKind.TOOL_AWAY
    world.say(Ruling.APPROVE)
    world.work()  # it is still away: the task waits, and nobody is asked again
    assert world.state(task_id) == TaskState.RETRYING
    come_back()
    wait_once(world, task_id)
    assert world.state(task_id) == TaskState.SUCCEEDED
    assert world.paid_out() == world.total() == 5


def test_a_person_may_refuse_a_call_of_a_tool_that_is_away(world: GatedWorld) -> None:
    world.agent_file(when_away={"refund": "review"})
    away_by_switch(world)
    task_id = world.submit(["refund"])
    world.work()
    world.say(Ruling.REJECT, "Not today.")
    world.settle()
    assert world.state(task_id) == TaskState.SUCCEEDED
    assert world.writer.last_words[0].given_up == {"0.0"}


def test_a_read_that_failed_is_gone_without_once_its_tool_is_away(world: GatedWorld) -> None:
    world.agent_file(when_away={"find_order": "without"})
    task_id = world.submit(["find_order", "note"])
    world.work(Strike(action="away", at="tool.before"))
    assert world.state(task_id) == TaskState.RETRYING
    fail_once(world, "find_order", Unavailable("down"))
    world.settle()
    assert world.state(task_id) == TaskState.SUCCEEDED
    assert world.writer.last_words[0].given_up == {"0.0"}


@pytest.mark.parametrize("whose", ["agent", "tenant", "customer"])
def test_workers_share_a_rate_and_who_is_too_many_waits(
    world: GatedWorld, redis_url: str, whose: str
) -> None:
    one, other = open_link(redis_url), open_link(redis_url)
    world.agent_file(rates={whose: "2/second"})
    others = {"tenant": {"tenant": "globex"}, "customer": {"customer": "c2"}}.get(whose, {})
    with world.engine.begin() as connection:
        accounts.add_tenant(connection, "globex")
    same = {"customer": "c1"}
    tasks = [world.submit(["refund"], **same) for _ in range(3)]
    elsewhere = world.submit(["refund"], **{**same, **others})
    for message in list(world.broker.messages):  # each by the other process in turn
        one, other = other, one
        world.guard(link=one)
        world.deliver(message, ())
        world.broker.messages.remove(message)
    states = [world.state(each) for each in tasks]
    assert states.count(TaskState.SUCCEEDED) == 2
    expected = TaskState.RETRYING if whose == "agent" else TaskState.SUCCEEDED
    assert world.state(elsewhere) == expected
    (late,) = [each for each in tasks if world.state(each) == TaskState.RETRYING]
    time.sleep(1.1)
    wait_once(world, late)
    assert world.state(late) == TaskState.SUCCEEDED
    assert world.paid_out() == 20
    one.close()
    other.close()


@pytest.mark.parametrize("customer", ["*", "c1"])
def test_a_withheld_right_is_told_to_the_model(world: GatedWorld, customer: str) -> None:
    with world.engine.begin() as connection:
        rights.withhold(
            connection,
            tenant="acme",
            customer=customer,
            name="refund",
            reason="not before March",
            withheld_by="ann",
        )
    time.sleep(0.3)
    task_id = world.submit(["refund", "note"], customer="c1")
    free = world.submit(["refund"], customer="c2")
    world.settle()
    assert world.state(task_id) == TaskState.SUCCEEDED
    assert world.writer.last_words[0].given_up == {"0.0"}
    gates = [each.result["reason"] for each in steps(world, "gate")]
    assert "refund is not allowed here: not before March" in gates
    assert world.state(free) == TaskState.SUCCEEDED
    assert world.paid_out() == (0 if customer == "*" else 5)


def steps(world: GatedWorld, kind: str) -> list[Any]:
    table = tables.steps
    with world.engine.connect() as connection:
        return list(connection.execute(table.select().where(table.c.kind == kind)))


@pytest.mark.parametrize(
    "amount",
    [None, -1, "-0.01", float("nan"), float("-inf"), float("inf"), "forty", "1e12", [1]],
)
def test_an_amount_that_is_none_is_refused(world: GatedWorld, amount: Any) -> None:
    with pytest.raises(PolicyError, match="amount"):
        call_expenses(proposed(world, amount))


@pytest.mark.parametrize(
    ("amount", "expected"),
    [(0, []), ("-0", []), (0.1, ["0.1"]), ("19.99", ["19.99"]), ("1e-12", ["0.00000001"])],
)
def test_an_amount_is_read_exactly(world: GatedWorld, amount: Any, expected: list[str]) -> None:
    found = call_expenses(proposed(world, amount))
    assert [each.amount_usd for each in found] == [Decimal(each) for each in expected]


def proposed(world: GatedWorld, amount: Any) -> ProposedCall:
    release = world.catalogue.get("clerk")
    tool = release.tools.get("refund")
    assert tool is not None
    loose = create_model("Loose", amount=(Any, None))
    return ProposedCall(
        tool=replace(tool, arguments=loose),
        arguments={"amount": amount},
        envelope=build_envelope(tenant="acme", agent="clerk", input="x"),
        release=release,
        key="k",
    )


def test_a_negative_refund_gives_no_room(world: GatedWorld) -> None:
    world.agent_file(spend={"moved_per_tenant_day": 5})
    gatekeeper = world.ports.admission
    with pytest.raises(PolicyError, match="0 or more"):
        gatekeeper.admit(proposed(world, "-100"))
    assert world.total() == 0
