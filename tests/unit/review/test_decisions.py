"""What people decide, and that it is done once, to this call and no other."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, Row, text

from fleet_contracts.errors import AlreadyDecided, InvalidInput, UnknownReview
from fleet_contracts.outcome import ReviewKind
from fleet_contracts.states import TaskState
from fleet_workers.review.decisions import Ruling, decide
from fleet_workers.store import reviews, tasks
from fleet_workers.testing import Reply, ScriptedModel, call
from unit.machine.ground import World
from unit.machine.process import struck_core
from unit.machine.strikes import Strike


def waiting(world: World) -> Row[Any]:
    (review,) = [each for each in world.rows("reviews") if each.state == "waiting"]
    return review


def say(world: World, review_id: UUID, ruling: Ruling, words: str = "", **options: Any) -> None:
    values = {"tenant": None, "decided_by": "p", **options}
    world.change(lambda c: decide(c, review_id, ruling=ruling, text=words, **values))
    world.settle()


def outcome(world: World, task_id: UUID) -> dict[str, Any]:
    row = world.task(task_id)
    assert row is not None
    return {"state": row.state, "agent": row.agent, **(row.outcome or {})}


def parked(world: World, *wishes: str, end: str = "answer", **fields: Any) -> tuple[UUID, Row[Any]]:
    task_id = world.submit(wishes, end=end, **fields)
    world.settle()
    return task_id, waiting(world)


def in_doubt(world: World, *, with_effect: bool) -> tuple[UUID, Row[Any]]:
    """A courier was called for by a worker that died then."""
    task_id = world.submit(["courier"])
    where = "tool.after" if with_effect else "tool.before"
    world.work(Strike(action="kill", at=where))
    world.settle()
    return task_id, waiting(world)


def test_an_approved_action_is_done_once_and_the_item_is_decided_once(world: World) -> None:
    task_id, review = parked(world, "large_refund")
    assert world.business.effects == []
    say(world, review.id, Ruling.APPROVE)
    assert outcome(world, task_id)["state"] == TaskState.SUCCEEDED
    assert len(world.business.effects) == 1
    for ruling in Ruling:
        with pytest.raises(AlreadyDecided, match="by p"):
            say(world, review.id, ruling, "once more")
    assert len(world.business.effects) == 1


def test_an_approval_holds_for_exactly_these_arguments(world: World) -> None:
    # Given an approved refund of 500 whose plan then holds another amount
    task_id, review = parked(world, "large_refund")
    world.change(lambda c: decide(c, review.id, tenant=None, ruling=Ruling.APPROVE, decided_by="p"))
    with world.engine.begin() as connection:
        found = connection.execute(text("SELECT seq, result FROM steps WHERE kind = 'plan'"))
        ((seq, plan),) = found.all()
        plan["calls"][0]["arguments"] = plan["calls"][0]["arguments"].replace("500", "5000")
        connection.execute(
            text("UPDATE steps SET result = CAST(:result AS jsonb) WHERE seq = :seq"),
            {"result": json.dumps(plan), "seq": seq},
        )
    world.settle()
    # I expect the other one to be put before a person, and nothing to be paid
    assert outcome(world, task_id)["state"] == TaskState.IN_REVIEW
    assert waiting(world).packet["proposal"]["arguments"]["amount"] == "5000"
    assert world.business.effects == []


def test_four_eyes_are_those_of_two_people(world: World) -> None:
    # Given an action that the agent's file lets two people approve
    task_id, review = parked(world, "large_refund")
    with world.engine.begin() as connection:
        connection.execute(
            text("UPDATE reviews SET packet = jsonb_set(packet, '{proposal,people}', '2')")
        )
    # One of them is not enough, however often
    say(world, review.id, Ruling.APPROVE, decided_by="ann")
    with pytest.raises(AlreadyDecided, match="ann has approved this already"):
        say(world, review.id, Ruling.APPROVE, decided_by="ann")
    assert outcome(world, task_id)["state"] == TaskState.IN_REVIEW
    assert world.business.effects == []
    # The other one is, and both stand in the record
    say(world, review.id, Ruling.APPROVE, decided_by="bob")
    assert outcome(world, task_id)["state"] == TaskState.SUCCEEDED
    assert len(world.business.effects) == 1
    (decided,) = world.rows("reviews")
    assert decided.decision["approved_by"] == ["ann", "bob"]


def test_one_of_two_people_may_refuse(world: World) -> None:
    task_id, review = parked(world, "large_refund")
    with world.engine.begin() as connection:
        connection.execute(
            text("UPDATE reviews SET packet = jsonb_set(packet, '{proposal,people}', '2')")
        )
    say(world, review.id, Ruling.APPROVE, decided_by="ann")
    say(world, review.id, Ruling.REJECT, "No.", decided_by="bob")
    assert outcome(world, task_id)["state"] == TaskState.SUCCEEDED
    assert world.business.effects == []


def test_a_refused_action_is_not_done_and_the_agent_is_told_why(world: World) -> None:
    task_id, review = parked(world, "large_refund", "note")
    say(world, review.id, Ruling.REJECT, "That is too much.")
    assert outcome(world, task_id)["state"] == TaskState.SUCCEEDED
    assert [effect.tool for effect in world.business.effects] == ["note"]
    said = world.writer.last_words[0]
    assert (said.done, said.given_up) == (frozenset({"0.1"}), frozenset({"0.0"}))


@pytest.mark.parametrize("with_effect", [True, False])
def test_a_call_in_doubt_is_repeated_only_by_a_persons_word_and_once(
    world: World,
    with_effect: bool,
) -> None:
    task_id, review = in_doubt(world, with_effect=with_effect)
    assert review.kind == ReviewKind.IN_DOUBT
    before = len(world.business.effects)
    # When a person lets it be repeated, and the worker dies in it once more
    world.change(lambda c: decide(c, review.id, tenant=None, ruling=Ruling.APPROVE, decided_by="p"))
    world.work(Strike(action="kill", at="tool.after"))
    world.settle()
    # I expect no third time without another word
    assert len(world.business.effects) == before + 1
    assert outcome(world, task_id)["state"] == TaskState.IN_REVIEW
    say(world, waiting(world).id, Ruling.ANSWER, "It was sent.")
    assert outcome(world, task_id)["answer"] == "It was sent."
    assert len(world.business.effects) == before + 1


@pytest.mark.parametrize("wish", ["courier", "note", "refund"])
def test_a_call_held_back_by_a_breaker_is_not_in_doubt(world: World, wish: str) -> None:
    task_id = world.submit([wish])
    for _ in range(3):
        world.work(Strike(action="open", at="breaker"))
        assert outcome(world, task_id)["state"] == TaskState.RETRYING
        world.pass_time()
        world.sweep()
    world.settle()
    assert outcome(world, task_id)["state"] == TaskState.SUCCEEDED
    assert world.rows("reviews") == []
    assert len(world.business.effects) == 1


@pytest.mark.parametrize("wish", ["courier", "note"])
def test_a_persons_word_lasts_until_the_call_goes_out_and_no_longer(
    world: World, wish: str
) -> None:
    # Given a call in doubt that a person lets be repeated
    task_id = world.submit([wish])
    world.work(Strike(action="break", at="tool.before"))
    review = waiting(world)
    world.change(lambda c: decide(c, review.id, tenant=None, ruling=Ruling.APPROVE, decided_by="p"))
    # While it is held back, by a breaker or as too early, nobody is asked again
    for _ in range(2):
        world.work(Strike(action="open", at="breaker"))
        assert outcome(world, task_id)["state"] == TaskState.RETRYING
        world.pass_time()
        world.sweep()
    # When it has gone out and its worker dies, a person is
    world.work(Strike(action="kill", at="tool.after"))
    world.settle()
    say(world, waiting(world).id, Ruling.ANSWER, "It came.")
    assert outcome(world, task_id)["state"] == TaskState.SUCCEEDED
    assert len(world.business.effects) == 1


def test_a_call_that_a_person_found_undone_may_be_made_anew(world: World) -> None:
    task_id, review = in_doubt(world, with_effect=False)
    say(world, review.id, Ruling.REJECT, "No courier came.")
    assert outcome(world, task_id)["state"] == TaskState.SUCCEEDED
    assert len(world.business.effects) == 1


@pytest.mark.parametrize(
    ("end", "ruling", "words", "expected"),
    [
        ("unsure", Ruling.APPROVE, "", {"state": "succeeded", "answer": "It may be done."}),
        ("unsure", Ruling.ANSWER, "Yes.", {"state": "succeeded", "answer": "Yes."}),
        ("unsure", Ruling.EDIT, "It is.", {"state": "succeeded", "answer": "It is."}),
        ("unsure", Ruling.ASK, "Which?", {"kind": "asked", "answer": "Which?"}),
        ("hand_over", Ruling.ASK, "Which?", {"kind": "asked", "answer": "Which?"}),
        ("hand_over", Ruling.ANSWER, "a\x00b", {"state": "succeeded", "answer": "a\u2400b"}),
        ("hand_over", Ruling.REJECT, "No.", {"state": "rejected", "reason": "No."}),
    ],
)
def test_a_decision_about_an_answer_ends_the_task_and_replies(
    world: World, end: str, ruling: Ruling, words: str, expected: dict[str, str]
) -> None:
    task_id, review = parked(world, end=end, reply_to="reply.here", session_id="s1")
    following = world.submit(session_id="s1")
    world.settle()
    # The person's word ends the task, so that nothing of its session waits for it
    assert outcome(world, following)["state"] == TaskState.SUCCEEDED
    say(world, review.id, ruling, words)
    found = outcome(world, task_id)
    assert {name: found[name] for name in expected} == expected
    assert json.loads(world.broker.replies[-1].body)["kind"] == found["kind"]


@pytest.mark.parametrize(
    ("end", "ruling", "words"),
    [
        ("hand_over", Ruling.APPROVE, ""),
        ("unsure", Ruling.REJECT, " "),
        ("unsure", Ruling.ANSWER, ""),
    ],
)
def test_a_ruling_that_does_not_fit_leaves_the_item_as_it_was(
    world: World, end: str, ruling: Ruling, words: str
) -> None:
    task_id, review = parked(world, end=end)
    with pytest.raises(InvalidInput):
        say(world, review.id, ruling, words)
    assert waiting(world).id == review.id
    assert outcome(world, task_id)["state"] == TaskState.IN_REVIEW


def test_an_item_of_another_tenant_is_not_known(world: World) -> None:
    _, review = parked(world, end="unsure")
    for review_id, tenant in ((review.id, "globex"), (uuid4(), None)):
        with pytest.raises(UnknownReview):
            say(world, review_id, Ruling.APPROVE, tenant=tenant)
    assert waiting(world).id == review.id


def test_an_approved_guess_of_the_triage_goes_to_that_agent(engine: Engine) -> None:
    # Given a task for nobody in particular, and a triage that only guesses
    unsure: Reply = call("send_to_clerk", confidence=0.2)
    with struck_core():
        world = World(
            engine, model=ScriptedModel([call("answer", text="Ok", confidence=0.9)], triage=unsure)
        )
        task_id, review = parked(world, agent="auto")
        assert review.packet["proposal"] == {"agent": "clerk"}
        # When a person says that the guess is right, I expect the agent to work on it
        say(world, review.id, Ruling.APPROVE)
        found = outcome(world, task_id)
        assert (found["state"], found["agent"], found["answer"]) == ("succeeded", "clerk", "Ok")
        world.close()


def test_a_decision_and_a_cancellation_at_once_end_in_one_of_them(world: World) -> None:
    # Given a cancellation that has the task and not yet its item
    task_id, review = parked(world, "large_refund")
    with ThreadPoolExecutor(1) as pool:
        with world.engine.begin() as connection:
            assert tasks.cancel(connection, task_id, tenant="acme")
            deciding = pool.submit(say, world, review.id, Ruling.APPROVE)
            with pytest.raises(TimeoutError):
                deciding.result(timeout=0.3)
            reviews.close(connection, [task_id], why="cancelled")
        # When it goes on, I expect the decision to come too late, and no deadlock
        with pytest.raises(AlreadyDecided, match="closed"):
            deciding.result(timeout=10)
    assert outcome(world, task_id)["state"] == TaskState.CANCELLED
    assert world.business.effects == []


@pytest.mark.parametrize(
    "decision",
    ["{}", '{"ruling": "perhaps"}', "[1]", "null", '{"ruling": "approve"}', '{"ruling": "reject"}'],
)
def test_a_decision_from_outside_that_makes_no_sense_stops_nothing(
    world: World, decision: str
) -> None:
    # Given an item whose decision another system wrote badly, and a letter that is due
    task_id, review = parked(world, end="hand_over")
    other = world.submit(["note"])
    with world.engine.begin() as connection:
        connection.execute(
            text("UPDATE reviews SET state = 'decided', decision = CAST(:decision AS jsonb)"),
            {"decision": decision},
        )
        connection.execute(
            text(
                "INSERT INTO outbox (exchange, routing_key, headers, properties, body, try_at) "
                "VALUES ('', 'reply.x', '{}', '{}', '{}', now() - interval '1 day')"
            )
        )
    # When janitors go round, I expect all else to go on, and the item to wait for a person
    world.settle()
    assert outcome(world, other)["state"] == TaskState.SUCCEEDED
    assert not world.rows("outbox")
    assert outcome(world, task_id)["state"] == TaskState.IN_REVIEW
    assert waiting(world).id == review.id


def test_a_decision_from_outside_is_carried_out_once(world: World) -> None:
    task_id, review = parked(world, "large_refund")
    world.decide_outside(review.id, {"ruling": "approve"})
    world.settle()
    assert outcome(world, task_id)["state"] == TaskState.SUCCEEDED
    assert len(world.business.effects) == 1
