"""Tasks of one session run one after another, in the order in which they were submitted."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from fleet_contracts.envelope import build_envelope, parse_envelope
from fleet_contracts.states import TaskState
from fleet_workers.review.decisions import Ruling, decide
from fleet_workers.store import claims, pauses, reviews, sessions, tasks
from fleet_workers.store.claims import Claim, Holder
from unit.machine.ground import Message, World
from unit.machine.process import struck_core
from unit.machine.strikes import Strike

LONG = timedelta(minutes=5)


@pytest.fixture
def world(engine: Engine) -> Iterator[World]:
    with struck_core():
        world = World(engine)
        yield world
        world.close()


def states(world: World) -> list[str]:
    return [row.state for row in world.all_tasks()]


def starts(world: World) -> list[UUID]:
    """Tasks in the order in which they were first started."""
    started = [row for row in world.all_tasks() if row.started_at]
    return [row.id for row in sorted(started, key=lambda row: row.started_at)]


def test_messages_that_come_in_any_order_are_worked_on_in_the_order_of_submission(
    world: World,
) -> None:
    ids = [world.submit(["note"], session_id="s") for _ in range(4)]
    world.broker.messages.reverse()
    world.settle()
    assert states(world) == [TaskState.SUCCEEDED] * 4
    assert starts(world) == ids


def test_of_tasks_that_only_the_broker_knows_the_producers_time_tells_the_order(
    world: World,
) -> None:
    # Given messages whose order on the broker is not that of their submission
    now = datetime.now(UTC)
    first = world.submit(session_id="other")
    world.settle()
    payloads = [
        build_envelope(
            tenant="acme", agent="clerk", input="request 0 please", session_id="s"
        ).to_dict()
        for _ in range(2)
    ]
    earlier, later = (
        Message(payload=payload, stored=False, submitted_at=now - timedelta(seconds=age))
        for payload, age in zip(payloads, (60, 30), strict=True)
    )
    # When the later one has reached the store and waits its turn beside the earlier one
    world.deliver(later, [Strike(action="stall", at="accepted")])
    world.deliver(earlier, [])
    world.wake(0, [])
    world.settle()
    assert starts(world) == [first, UUID(earlier.task_id), UUID(later.task_id)]


@pytest.mark.parametrize(
    "others",
    [
        {"session_id": "other"},
        {"session_id": None},
    ],
)
def test_another_session_does_not_wait(world: World, others: dict[str, Any]) -> None:
    world.submit(["note"], session_id="s")
    world.work(Strike(action="stall", at="model.before"))
    world.broker.messages.clear()
    world.submit(["note"], **others)
    world.work()
    assert states(world) == [TaskState.RUNNING, TaskState.SUCCEEDED]


def test_the_same_session_id_of_two_tenants_are_two_sessions(world: World) -> None:
    with world.engine.begin() as connection:
        connection.execute(text("INSERT INTO tenants (name) VALUES ('globex')"))
    world.submit(["note"], session_id="s")
    world.work(Strike(action="stall", at="model.before"))
    world.broker.messages.clear()
    world.submit(["note"], session_id="s", tenant="globex")
    world.work()
    assert states(world) == [TaskState.RUNNING, TaskState.SUCCEEDED]


HOLDS = {
    "running": (["note"], "answer", Strike(action="stall", at="model.before")),
    "retrying": (["note"], "answer", Strike(action="away", at="model.before")),
    "in_review": (["large_refund"], "answer", Strike(action="drain", nth=99)),
}


@pytest.mark.parametrize(("wishes", "end", "strike"), HOLDS.values(), ids=HOLDS)
def test_an_open_task_holds_the_next_one_up_until_it_ends(
    world: World, wishes: list[str], end: str, strike: Strike, request: pytest.FixtureRequest
) -> None:
    first = world.submit(wishes, end=end, session_id="s")
    world.work(strike)
    world.broker.messages.clear()
    second = world.submit(["note"], session_id="s")
    # While the first is open, the message of the second is used up, and no janitor wakes it
    world.work()
    world.sweep()
    assert states(world) == [request.node.callspec.id, TaskState.QUEUED]
    assert not world.broker.messages
    # When the first is cancelled, I expect the second to be found
    world.change(lambda connection: _cancel(connection, first))
    for place in range(len(world.stalled)):
        world.kill(place)
    world.sweep()
    world.work()
    assert states(world) == [TaskState.CANCELLED, TaskState.SUCCEEDED]
    assert starts(world) == [first, second]


def _cancel(connection: Any, task_id: UUID) -> None:
    assert tasks.cancel(connection, task_id, tenant="acme")
    reviews.close(connection, [task_id], why="cancelled")


def test_the_end_of_a_task_wakes_the_next_one_at_once(world: World) -> None:
    world.submit(["large_refund"], session_id="s")
    world.work()
    world.submit(["note"], session_id="s")
    world.work()
    (review,) = world.rows("reviews")
    world.change(
        lambda connection: decide(
            connection, review.id, tenant=None, ruling=Ruling.ANSWER, decided_by="p", text="No."
        )
    )
    world.work()  # without a janitor
    assert states(world) == [TaskState.SUCCEEDED, TaskState.SUCCEEDED]


def test_a_review_that_a_persons_word_ends_holds_nobody_up(world: World) -> None:
    first = world.submit(["note"], end="unsure", session_id="s")
    second = world.submit(["note"], session_id="s")
    for _ in range(3):  # without a janitor: the way to a person wakes the next one
        world.work()
    assert states(world) == [TaskState.IN_REVIEW, TaskState.SUCCEEDED]
    assert starts(world) == [first, second]


def test_a_dead_task_lets_the_next_one_go_on_and_comes_back_before_those_that_follow(
    world: World,
) -> None:
    dead = world.submit(["note"], session_id="s")
    world.work(Strike(action="refuse", at="model.before"))
    done = world.submit(["note"], session_id="s")
    world.settle()
    assert states(world) == [TaskState.DEAD, TaskState.SUCCEEDED]
    last = world.submit(["note"], session_id="s")
    world.broker.messages.clear()
    world.replay(world.rows("dead_letters")[0].id)
    world.settle()
    assert states(world) == [TaskState.SUCCEEDED] * 3
    assert starts(world) == [dead, done, last]


@pytest.mark.parametrize(("is_paused", "messages"), [(False, 1), (True, 0)])
def test_a_task_handed_back_has_one_message_and_none_while_it_is_paused(
    world: World, is_paused: bool, messages: int
) -> None:
    world.submit(["note"], session_id="s")
    world.work(Strike(action="stall", at="model.after"))
    world.broker.messages.clear()
    if is_paused:
        with world.engine.begin() as connection:
            pauses.pause(connection, agent="clerk", tenant="*", reason="r", paused_by="p")
    world.wake(0, [] if is_paused else [Strike(action="drain")])
    assert states(world) == [TaskState.QUEUED]
    assert len(world.broker.messages) == messages
    assert [row.woken_at is None for row in world.all_tasks()] == [is_paused]


def test_of_many_who_claim_tasks_of_a_session_at_once_one_gets_the_first(world: World) -> None:
    ids = [world.submit(session_id="s") for _ in range(8)]
    envelopes = [parse_envelope(row.envelope) for row in world.all_tasks()]

    def claim(place: int) -> Claim | None:
        by = Holder(worker=f"w{place}", presence=place, lease=LONG, silence=LONG)
        with world.engine.begin() as connection:
            sessions.lock(connection, envelopes[place])
            return claims.claim(connection, ids[place], by)

    with ThreadPoolExecutor(8) as pool:
        found = [each for each in pool.map(claim, range(8)) if each is not None]
    assert [each.task_id for each in found] == [ids[0]]
