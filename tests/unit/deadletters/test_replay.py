"""One dead letter is replayed or discarded, against a real PostgreSQL."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from fleet_contracts.codec import encode_task
from fleet_contracts.envelope import build_envelope
from fleet_contracts.errors import (
    Conflict,
    FleetError,
    InvalidEnvelope,
    InvalidInput,
    UnknownAgent,
    UnknownTenant,
)
from fleet_contracts.states import TaskState
from fleet_workers.deadletters.errors import AlreadySettled, NotDead, Overdue, UnknownDeadLetter
from fleet_workers.deadletters.replay import discard_letter
from support.graveyard import Graveyard


def test_a_replayed_task_is_queued_with_fresh_attempts_and_its_message(
    graveyard: Graveyard,
) -> None:
    letter = graveyard.dead()
    done = graveyard.replay(letter)
    task = graveyard.task(letter.task_id)
    assert (task.state, task.attempts, task.deliveries, task.epoch) == ("queued", 0, 0, 4)
    assert (task.outcome, task.finished_at, task.due_at) == (None, None, None)
    assert task.last_error["code"] == "unavailable"
    assert done.wake_up.message.routing_key == "agent.parcels"
    assert json.loads(done.wake_up.message.body)[0][0]["id"] == str(letter.task_id)
    settled = graveyard.read(letter)
    assert (settled.settled_as, settled.settled_by) == ("replayed", "tests")


def test_of_many_replays_at_once_one_is_done(graveyard: Graveyard) -> None:
    letter = graveyard.dead()

    def attempt(_: int) -> str:
        try:
            graveyard.replay(letter)
        except FleetError as error:
            return error.code
        return "replayed"

    with ThreadPoolExecutor(8) as pool:
        results = sorted(pool.map(attempt, range(8)))
    assert results == ["already_settled"] * 7 + ["replayed"]
    assert graveyard.count("outbox") == 1
    with pytest.raises(AlreadySettled, match=r"replayed .* by tests"):
        graveyard.replay(letter)


@pytest.mark.parametrize("state", [each for each in TaskState if each is not TaskState.DEAD])
def test_a_task_that_is_not_dead_is_left_alone(graveyard: Graveyard, state: TaskState) -> None:
    letter = graveyard.dead()
    graveyard.set_task(letter.task_id, state=state)
    with pytest.raises(NotDead, match=f"is {state}, not dead"):
        graveyard.replay(letter)
    assert graveyard.task(letter.task_id).state == state
    _assert_untouched(graveyard, letter)


def test_an_agent_that_is_gone_is_named_with_those_that_are_there(graveyard: Graveyard) -> None:
    letter = graveyard.dead(agent="long_gone")
    with pytest.raises(UnknownAgent, match=r"long_gone.*parcels"):
        graveyard.replay(letter)
    _assert_untouched(graveyard, letter)


def test_a_tenant_that_is_gone_is_named(graveyard: Graveyard) -> None:
    letter = graveyard.dead()
    graveyard.forget_tenant("acme")
    with pytest.raises(UnknownTenant, match="acme"):
        graveyard.replay(letter)
    _assert_untouched(graveyard, letter)


def test_a_task_past_its_deadline_is_not_revived_only_to_expire(graveyard: Graveyard) -> None:
    letter = graveyard.dead(deadline=datetime.now(UTC) - timedelta(minutes=1))
    with pytest.raises(Overdue, match="deadline"):
        graveyard.replay(letter)
    _assert_untouched(graveyard, letter)


def test_a_letter_of_another_tenant_is_not_there(graveyard: Graveyard) -> None:
    letter = graveyard.dead(tenant="globex")
    with pytest.raises(UnknownDeadLetter):
        graveyard.replay(letter, tenant="acme")
    with pytest.raises(UnknownDeadLetter):
        graveyard.replay(uuid4())
    _assert_untouched(graveyard, letter)


def test_a_message_that_can_be_read_now_becomes_a_task(graveyard: Graveyard) -> None:
    # Given messages that a worker of before could not place: its tenant was not there yet
    plain = build_envelope(tenant="acme", agent="parcels", input="Plain?")
    celery = build_envelope(tenant="acme", agent="parcels", input="From Celery?")
    for envelope, body in (
        (plain, plain.to_json()),
        (celery, encode_task(celery).body),
    ):
        letter = graveyard.letter(reason="unknown_tenant", error="No tenant acme.", body=body)
        done = graveyard.replay(letter)
        task = graveyard.task(envelope.id)
        assert (done.task_id, task.state, task.epoch) == (envelope.id, "queued", 0)
        assert graveyard.read(letter).settled_as == "replayed"


def test_a_letter_whose_task_is_gone_from_the_store_makes_it_anew(graveyard: Graveyard) -> None:
    letter = graveyard.dead()
    graveyard.lose_task(letter.task_id)
    done = graveyard.replay(letter)
    assert done.task_id == letter.task_id
    assert graveyard.task(letter.task_id).state == "queued"


@pytest.mark.parametrize("body", ["{", "7", "[]", "[[]]", '[["x"], {}]', '{"tenant": "acme"}'])
def test_a_message_that_still_cannot_be_read_is_kept(graveyard: Graveyard, body: str) -> None:
    letter = graveyard.letter(reason="invalid_envelope", error="Not a task.", body=body)
    with pytest.raises(InvalidEnvelope, match="still cannot be read"):
        graveyard.replay(letter)
    _assert_untouched(graveyard, letter)


def test_a_message_with_the_id_of_another_task_is_refused(graveyard: Graveyard) -> None:
    dead = graveyard.dead()
    other = build_envelope(id=dead.task_id, tenant="acme", agent="parcels", input="Other words")
    letter = graveyard.letter(
        reason="conflict",
        error="Used before.",
        body=other.to_json(),
        task_id=other.id,
        tenant="acme",
        agent="parcels",
    )
    with pytest.raises(Conflict, match="id of its own"):
        graveyard.replay(letter)
    assert graveyard.task(dead.task_id).state == "dead"
    _assert_untouched(graveyard, letter)


def test_a_discarded_letter_keeps_who_and_why_and_is_not_replayed(graveyard: Graveyard) -> None:
    letter = graveyard.dead()
    with graveyard.engine.begin() as connection:
        discard_letter(connection, letter.id, by="ann", reason="A test order.", tenant="acme")
    found = graveyard.read(letter)
    assert (found.settled_as, found.settled_by, found.settled_reason) == (
        "discarded",
        "ann",
        "A test order.",
    )
    with pytest.raises(AlreadySettled, match=r"discarded .* by ann"):
        graveyard.replay(letter)
    with graveyard.engine.begin() as connection, pytest.raises(InvalidInput):
        discard_letter(connection, letter.id, by="bob", reason="Again.", tenant="acme")
    assert graveyard.task(letter.task_id).state == "dead"


def _assert_untouched(graveyard: Graveyard, letter: object) -> None:
    assert graveyard.read(letter).settled_at is None
    assert graveyard.count("outbox") == 0
