"""Items for which nobody has time: reminded of, raised, handed on, and refused in the end."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from fleet_contracts.states import TaskState
from fleet_workers.agents import AgentCatalogue
from fleet_workers.agents.review_rules import ReviewRule
from fleet_workers.janitor.escalate import Escalator
from fleet_workers.review.escalation import escalate
from fleet_workers.store import review_queue, reviews
from fleet_workers.store.reviews import ReviewItem
from unit.machine.ground import World

STEPS = [
    {"do": "remind"},
    {"do": "raise", "after_minutes": 10},
    {"do": "hand_to", "group": "leads", "after_minutes": 20},
    {"do": "refuse", "after_minutes": 60},
]


@pytest.fixture(autouse=True)
def rules(world: World) -> None:
    world.catalogue = ruled(world.catalogue, due_minutes=30, escalate=STEPS)


def ruled(catalogue: AgentCatalogue, **rule: Any) -> AgentCatalogue:
    """The same agents, whose approvals follow a rule."""
    rules = {"approval": ReviewRule.model_validate(rule)}
    return AgentCatalogue(
        replace(each, manifest=each.manifest.model_copy(update={"reviews": rules}))
        for each in catalogue
    )


def parked(world: World, *wishes: str) -> UUID:
    task_id = world.submit(wishes or ("large_refund",))
    world.settle()
    return task_id


def item(world: World) -> ReviewItem:
    with world.engine.begin() as connection:
        (found,) = world.rows("reviews")
        item = reviews.get(connection, found.id, tenant=None)
    assert item is not None
    return item


def let_pass(world: World, minutes: float) -> None:
    """Move an item into the past."""
    with world.engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE reviews SET created_at = created_at - :span, due_at = due_at - :span, "
                "escalate_at = escalate_at - :span"
            ),
            {"span": timedelta(minutes=minutes)},
        )


def work(world: World) -> int:
    return Escalator(world.engine, world.broker, world.catalogue).work()  # type: ignore[arg-type]


def test_an_approval_that_nobody_gives_is_refused_in_the_end(world: World) -> None:
    task_id = parked(world, "large_refund", "note")
    assert item(world).due_at - item(world).created_at == timedelta(minutes=30)  # type: ignore[operator]
    assert work(world) == 0
    priority = item(world).priority
    # When its time is over, people are reminded, then it is raised, then others get it
    let_pass(world, 30)
    assert work(world) == 1
    assert (item(world).escalation, item(world).priority) == (1, priority)
    assert work(world) == 0
    let_pass(world, 10)
    assert work(world) == 1
    assert item(world).priority == priority - 1
    let_pass(world, 10)
    assert work(world) == 1
    assert item(world).group == "leads"
    assert world.business.effects == []
    # In the end it is refused, and the agent goes on without it
    let_pass(world, 40)
    assert work(world) == 1
    world.settle()
    row = world.task(task_id)
    assert row is not None
    assert row.state == TaskState.SUCCEEDED
    assert [effect.tool for effect in world.business.effects] == ["note"]
    assert (item(world).state, item(world).decided_by) == ("resumed", "fleet")
    assert work(world) == 0


def test_after_a_stop_of_the_fleet_people_have_their_time_all_the_same(world: World) -> None:
    # Given a fleet that stood still for a day
    parked(world)
    let_pass(world, 24 * 60)
    # It does one step, and the next comes when it would have come after that
    assert work(world) == 1
    assert work(world) == 0
    let_pass(world, 10)
    assert [work(world), work(world)] == [1, 0]
    assert item(world).state == "waiting"


def test_a_claim_does_not_keep_an_approval_open_for_ever(world: World) -> None:
    parked(world)
    with world.engine.begin() as connection:
        connection.execute(text("UPDATE reviews SET escalation = 3, escalate_at = now()"))
        assert review_queue.claim(
            connection, item(world).id, tenant=None, by="ann", lasts=timedelta(hours=1)
        )
    assert work(world) == 1
    assert item(world).state == "resumed"


def test_two_janitors_do_a_step_once(world: World) -> None:
    parked(world)
    let_pass(world, 30)
    with world.engine.begin() as connection:
        ((review_id, task_id),) = review_queue.due_to_escalate(connection, limit=10)
    assert work(world) == 1
    # The other one found it at the same moment, and comes too late
    with world.engine.begin() as connection:
        assert escalate(connection, world.catalogue, review_id, task_id) == []
    assert item(world).escalation == 1


def test_what_was_decided_or_has_fewer_steps_now_is_left_alone(world: World) -> None:
    parked(world)
    with world.engine.begin() as connection:
        connection.execute(text("UPDATE reviews SET escalation = 9, escalate_at = now()"))
    assert [work(world), work(world)] == [1, 0]
    with world.engine.begin() as connection:
        connection.execute(text("UPDATE reviews SET state = 'closed', escalate_at = now()"))
    assert work(world) == 0


def test_others_are_told_of_each_step(world: World) -> None:
    parked(world)
    let_pass(world, 30)
    work(world)
    with world.engine.connect() as connection:
        found = connection.execute(text("SELECT what FROM audit_inbox WHERE kind = 'review'"))
        assert "approval overdue: remind" in set(found.scalars())
