"""What must be true of every task, effect and review, whatever happened before."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from fleet_contracts.outcome import ReviewKind
from fleet_contracts.states import TaskState
from fleet_workers.review.decisions import Ruling
from fleet_workers.store.reviews import ReviewItem
from unit.machine.business import APPROVAL_ABOVE
from unit.machine.ground import World
from unit.machine.writer import WRITES


@dataclass
class People:
    """What people have decided: each may allow some effects."""

    decided: Counter[UUID] = field(default_factory=Counter)
    approved: set[tuple[str, str]] = field(default_factory=set)
    doubts: Counter[str] = field(default_factory=Counter)

    def note(self, review: Row[Any] | ReviewItem, ruling: Ruling) -> None:
        self.decided[review.id] += 1
        proposal = review.packet["proposal"]
        if review.kind == ReviewKind.APPROVAL and ruling in {Ruling.APPROVE, Ruling.EDIT}:
            key = f"{review.task_id}:{proposal['plan']}:{proposal['call']}"
            self.approved.add((key, proposal["arguments"]["wording"]))
        if review.kind == ReviewKind.IN_DOUBT and ruling in {Ruling.APPROVE, Ruling.REJECT}:
            self.doubts[proposal["arguments"]["order"]] += 1


def truth_about(world: World, review: Row[Any]) -> tuple[Ruling, str]:
    """What a careful person says, who looks into the business's own record first."""
    if review.kind == ReviewKind.IN_DOUBT:
        done = world.business.count()[review.packet["proposal"]["arguments"]["order"]]
        return (Ruling.ANSWER, "It was done.") if done else (Ruling.APPROVE, "")
    if review.kind in {ReviewKind.APPROVAL, ReviewKind.LOW_CONFIDENCE}:
        return Ruling.APPROVE, ""
    return Ruling.ANSWER, "We will call you."


def check_effects(world: World, people: People) -> None:
    """No intended call had more than one effect, and none that needs approval went without."""
    for order, number in world.business.count().items():
        assert number <= 1 + people.doubts[order], f"{order} was done {number} times"
    for effect in world.business.effects:
        if effect.amount is not None and effect.amount > APPROVAL_ABOVE:
            assert (effect.key, effect.wording) in people.approved, f"nobody approved {effect}"
    assert not world.business.trespasses, "a worker acted that did not hold the task"
    assert all(number == 1 for number in people.decided.values()), "a review was decided twice"


def check_ends(world: World) -> None:
    """All is settled, and whoever got an answer from the agent got what it says."""
    letters = world.rows("dead_letters")
    assert all(each.reason != "internal_error" for each in letters), letters
    effects = world.business.count()
    for task in world.all_tasks():
        assert task.state not in {
            TaskState.QUEUED,
            TaskState.RUNNING,
            TaskState.RETRYING,
            TaskState.IN_REVIEW,
        }, f"task {task.id} is stuck: {task}"
        if task.state == TaskState.DEAD:
            assert any(each.task_id == task.id for each in letters), f"no letter of {task.id}"
        if task.state != TaskState.SUCCEEDED or task.outcome.get("review_kind"):
            continue
        number = int(task.envelope["input"].split()[1])
        said = world.writer.last_words[number]
        for order, wish in world.writer.scripts[number].orders.items():
            if wish in WRITES and order in said.done:
                assert effects[order], f"{order} was said to be done, and was not"
