"""How an agent goes on with what a person changed, refused or gave to another."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from fleet_contracts.envelope import TaskEnvelope
from fleet_contracts.errors import AlreadyClaimed, AlreadyDecided, InvalidInput
from fleet_contracts.states import TaskState
from fleet_workers.models.messages import ChatReply, ChatRequest, Message
from fleet_workers.review.decisions import Ruling, decide
from fleet_workers.store import review_queue, reviews
from fleet_workers.store.reviews import ReviewItem
from fleet_workers.testing import Reply, ScriptedModel, call
from unit.machine.ground import World
from unit.machine.process import struck_core
from unit.machine.strikes import Strike


class Listener(ScriptedModel):
    """Keeps what it was told."""

    def __init__(self, script: list[Reply], *, triage: Reply) -> None:
        super().__init__(script, triage=triage)
        self.heard: list[list[Message]] = []

    def complete(self, request: ChatRequest) -> ChatReply:
        self.heard.append(list(request.messages))
        return super().complete(request)


def waiting(world: World) -> ReviewItem:
    with world.engine.begin() as connection:
        (item,) = reviews.waiting(connection, tenant="acme")
    return item


def parked(world: World, *wishes: str, end: str = "answer", **fields: Any) -> UUID:
    task_id = world.submit(wishes, end=end, **fields)
    world.settle()
    return task_id


def say(world: World, ruling: Ruling, words: str = "", **options: Any) -> None:
    values = {"tenant": "acme", "decided_by": "ann", **options}
    review_id = waiting(world).id
    world.change(lambda c: decide(c, review_id, ruling=ruling, text=words, **values))
    world.settle()


def edited(world: World, **changes: str) -> dict[str, Any]:
    return {**waiting(world).packet["proposal"]["arguments"], **changes}


def state(world: World, task_id: UUID) -> str:
    row = world.task(task_id)
    assert row is not None
    return str(row.state)


def test_an_edited_action_is_done_once_with_the_persons_arguments(world: World) -> None:
    task_id = parked(world, "large_refund")
    say(world, Ruling.EDIT, arguments=edited(world, amount="450"))
    assert state(world, task_id) == TaskState.SUCCEEDED
    assert [str(effect.amount) for effect in world.business.effects] == ["450"]
    # What the agent planned stays in the record
    (row,) = world.rows("reviews")
    assert row.packet["proposal"]["planned_arguments"]["amount"] == "500"
    assert row.decision["approved_by"] == ["ann"]


@pytest.mark.parametrize("at", ["tool.before", "tool.after", "model.before"])
def test_an_edit_outlives_the_worker_that_acts_on_it(world: World, at: str) -> None:
    task_id = parked(world, "large_refund")
    arguments = edited(world, amount="450")
    review_id = waiting(world).id
    world.change(
        lambda c: decide(
            c, review_id, tenant=None, ruling=Ruling.EDIT, decided_by="p", arguments=arguments
        )
    )
    world.work(Strike(action="kill", at=at))
    world.settle()
    assert state(world, task_id) == TaskState.SUCCEEDED
    assert [str(effect.amount) for effect in world.business.effects] == ["450"]


def test_an_edit_makes_earlier_approvals_void_and_counts_as_one(world: World) -> None:
    # Given two people who must approve, and one who has
    task_id = parked(world, "large_refund")
    two = {**waiting(world).packet}
    two["proposal"]["people"] = 2
    with world.engine.begin() as connection:
        reviews.change_packet(connection, waiting(world).id, two)
    say(world, Ruling.APPROVE, decided_by="ann")
    # When another one changes it, what ann approved is no more
    say(world, Ruling.EDIT, arguments=edited(world, amount="450"), decided_by="bob")
    assert waiting(world).decision == {"approved_by": ["bob"]}
    assert world.business.effects == []
    with pytest.raises(AlreadyDecided, match="bob has approved"):
        say(world, Ruling.APPROVE, decided_by="bob")
    say(world, Ruling.APPROVE, decided_by="ann")
    assert state(world, task_id) == TaskState.SUCCEEDED
    assert [str(effect.amount) for effect in world.business.effects] == ["450"]


def test_a_refused_answer_is_given_anew(world: World) -> None:
    task_id = parked(world, "note", end="unsure")
    say(world, Ruling.REJECT, "Say that it is done.")
    row = world.task(task_id)
    assert row is not None
    # The agent heeds the reason; nothing before the review runs again
    assert (row.state, row.outcome["answer"]) == (TaskState.SUCCEEDED, "All is done.")
    assert len(world.business.effects) == 1


def test_a_refusal_for_good_ends_the_task(world: World) -> None:
    task_id = parked(world, end="unsure")
    say(world, Ruling.REJECT, "No.", end=True)
    row = world.task(task_id)
    assert row is not None
    assert (row.state, row.outcome["reason"]) == (TaskState.REJECTED, "No.")
    refused = parked(world, "large_refund")
    say(world, Ruling.REJECT, "Never.", end=True)
    assert state(world, refused) == TaskState.REJECTED
    assert world.business.effects == []


def test_a_task_is_worked_on_by_the_agent_that_a_person_names(world: World) -> None:
    task_id = parked(world, "note", end="hand_over")
    assert len(world.business.effects) == 1
    say(world, Ruling.REASSIGN, "Look at the note.", agent="auto")
    row = world.task(task_id)
    assert row is not None
    # The triage sends it on; what the first agent did is not done again
    assert row.agent == "clerk"
    assert len(world.business.effects) == 1


def test_an_agent_that_takes_over_is_told_what_was_done(engine: Engine) -> None:
    # Given a task that a clerk did half of
    model = Listener(
        [
            call("note", order="0.0", wording="w"),
            call("hand_over", reason="Too hard."),
            call("hand_over", reason="Still too hard."),
        ],
        triage=call("send_to_clerk", confidence=0.9),
    )
    with struck_core():
        world = World(engine, model=model)
        parked(world, "note")
        say(world, Ruling.REASSIGN, "Please call them.", agent="auto")
        world.close()
    told = " ".join(str(each.get("content")) for each in model.heard[-1])
    assert "Please call them." in told
    assert len(world.business.effects) == 1


def test_eight_rounds_of_review_run_each_step_once(world: World) -> None:
    # Given eight refunds, each of which a person must approve
    task_id = parked(world, *["large_refund"] * 8)
    for _ in range(8):
        say(world, Ruling.APPROVE)
    assert state(world, task_id) == TaskState.SUCCEEDED
    orders = [effect.order for effect in world.business.effects]
    assert len(orders) == len(set(orders)) == 8
    with world.engine.connect() as connection:
        kinds = list(connection.execute(text("SELECT kind || ' ' || name FROM steps")).scalars())
    assert kinds.count("review decision") == kinds.count("tool refund") == 8
    assert kinds.count("plan clerk") == 9


def test_a_claim_keeps_others_out_until_its_time_is_over(world: World) -> None:
    parked(world, "large_refund")
    item = waiting(world)
    hour = timedelta(hours=1)
    with world.engine.begin() as connection:
        mine = review_queue.claim(connection, item.id, tenant="acme", by="ann", lasts=hour)
        assert mine is not None
        assert mine.claimed_by == "ann"
        assert review_queue.claim(connection, item.id, tenant="acme", by="bob", lasts=hour) is None
        assert (
            review_queue.claim(connection, item.id, tenant="globex", by="ann", lasts=hour) is None
        )
        assert not review_queue.release(connection, item.id, tenant="acme", by="bob")
    with pytest.raises(AlreadyClaimed, match="ann"):
        say(world, Ruling.APPROVE, decided_by="bob")
    # When ann's time is over, bob may
    with world.engine.begin() as connection:
        review_queue.claim(connection, item.id, tenant=None, by="ann", lasts=-hour)
    assert waiting(world).claimed_by is None
    say(world, Ruling.APPROVE, decided_by="bob")
    assert len(world.business.effects) == 1


@pytest.mark.parametrize(
    ("wishes", "end", "ruling", "options"),
    [
        (("large_refund",), "answer", Ruling.EDIT, {}),
        (("large_refund",), "answer", Ruling.APPROVE, {"arguments": {"amount": "1"}}),
        (("large_refund",), "answer", Ruling.REASSIGN, {"text": "Yours."}),
        (("large_refund",), "answer", Ruling.APPROVE, {"agent": "clerk"}),
        ((), "hand_over", Ruling.EDIT, {"text": "a"}),
        ((), "unsure", Ruling.EDIT, {"text": " "}),
        ((), "unsure", Ruling.ASK, {}),
    ],
)
def test_what_does_not_fit_changes_nothing(
    world: World, wishes: tuple[str, ...], end: str, ruling: Ruling, options: dict[str, Any]
) -> None:
    task_id = parked(world, *wishes, end=end)
    before = waiting(world)
    with pytest.raises(InvalidInput):
        say(world, ruling, options.pop("text", ""), **options)
    assert waiting(world) == before
    assert state(world, task_id) == TaskState.IN_REVIEW


def test_what_a_person_answers_is_remembered_before_the_next_task_is_woken(world: World) -> None:
    # Given a task of a session that waits for a person
    task_id = parked(world, end="unsure", session_id="s1")
    kept: list[tuple[UUID, str, bool]] = []

    def remember(envelope: TaskEnvelope, answer: str, tainted: bool) -> None:
        assert state(world, task_id) == TaskState.IN_REVIEW  # not committed yet
        kept.append((envelope.id, answer, tainted))

    say(world, Ruling.ANSWER, "It is blue.", remember=remember)
    assert kept == [(task_id, "It is blue.", False)]
