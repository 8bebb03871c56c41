"""A store in disorder: broken rows, rows that are gone, a server that is read-only or full."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import Engine, Row, text

from fleet_contracts.errors import Unavailable, UnknownAgent
from fleet_contracts.states import TaskState
from fleet_workers.agents import AgentCatalogue
from fleet_workers.store.engine import open_engine
from fleet_workers.store.statement import Statement
from support.databases import temporary_database, temporary_store
from unit.machine.ground import Message, World
from unit.machine.process import struck_core
from unit.machine.strikes import Strike

AWAY_AT_THE_END = Strike(action="away", at="model", nth=1)
KILL_AFTER_THE_EFFECT = Strike(action="kill", at="tool.after")


@pytest.fixture
def world(engine: Engine) -> Iterator[World]:
    with struck_core():
        world = World(engine)
        yield world
        world.close()


def change(world: World, statement: str, **values: Any) -> None:
    with world.engine.begin() as connection:
        connection.execute(text(statement), values)


def state_of(world: World, task_id: UUID) -> str:
    row = world.task(task_id)
    assert row is not None
    return str(row.state)


def replay(world: World) -> None:
    """Replay the newest letter."""
    world.replay(world.rows("dead_letters")[-1].id)


BREAKS = {
    "the first step is missing": "DELETE FROM steps WHERE seq = 0",
    "a step in the middle is missing": "DELETE FROM steps WHERE seq = 1",
    "a kind that nobody knows": "UPDATE steps SET kind = 'dream' WHERE seq = 0",
    "a state that nobody knows": "UPDATE steps SET state = 'half' WHERE seq = 2",
    "a plan without calls": "UPDATE steps SET result = '{\"text\": null}' WHERE kind = 'plan'"
    " AND state = 'done'",
    "a failure that is no object": "UPDATE steps SET result = '[1]' WHERE kind = 'failure'",
    "a result that is no object": "UPDATE steps SET result = '[1]' WHERE kind = 'tool'",
    "a done step without result": "UPDATE steps SET result = NULL WHERE kind = 'tool'",
    "a call without arguments": "UPDATE steps SET request = request - 'arguments'"
    " WHERE kind = 'tool'",
    "a call without its place": "UPDATE steps SET request = request - 'plan' WHERE kind = 'tool'",
}


@pytest.mark.parametrize("statement", BREAKS.values(), ids=BREAKS)
def test_a_corrupt_journal_is_a_dead_letter_until_it_is_mended(
    world: World, statement: str
) -> None:
    # Given a task that has made a refund and waits for its next attempt
    task_id = world.submit(["refund"])
    world.work(AWAY_AT_THE_END)
    assert state_of(world, task_id) == TaskState.RETRYING
    change(world, "DROP TABLE IF EXISTS kept; CREATE TABLE kept AS SELECT * FROM steps")
    # When its journal is damaged
    change(world, statement)
    world.settle()
    # I expect no guess, however often it is replayed
    for _ in range(2):
        assert state_of(world, task_id) == TaskState.DEAD
        assert [each.reason for each in world.rows("dead_letters")][-1] == "corrupt_journal"
        replay(world)
        world.settle()
    # When the rows are restored, I expect it to go on, with the one refund that was made
    change(world, "DELETE FROM steps")
    change(world, "INSERT INTO steps SELECT * FROM kept")
    replay(world)
    world.settle()
    assert state_of(world, task_id) == TaskState.SUCCEEDED
    assert len(world.business.effects) == 1


@pytest.mark.parametrize(
    "lost", ["due", "abandoned", "unwoken", "forgotten"], ids=lambda name: f"{name} task"
)
def test_a_task_whose_envelope_is_broken_stops_no_other(world: World, lost: str) -> None:
    # Given two tasks that only a janitor can set going, one of them broken
    tasks = [world.submit(["note"]), world.submit(["note"])]
    world.work(AWAY_AT_THE_END if lost == "due" else KILL_AFTER_THE_EFFECT)
    world.broker.messages.clear()
    if lost in {"unwoken", "forgotten"}:
        woken = "NULL" if lost == "unwoken" else "now()"
        change(world, f"UPDATE tasks SET state = 'queued', woken_at = {woken}")  # noqa: S608 ours
    change(world, "UPDATE tasks SET envelope = '{\"tenant\": 1}' WHERE id = :id", id=tasks[0])
    # When janitors go round
    world.settle()
    # I expect the broken one to be buried, and the other one to be done
    assert state_of(world, tasks[0]) == TaskState.DEAD
    assert state_of(world, tasks[1]) == TaskState.SUCCEEDED
    assert [each.task_id for each in world.rows("dead_letters")] == [tasks[0]]


def test_a_statement_that_breaks_leaves_no_connection_that_commits_by_itself() -> None:
    with temporary_store(connections=1) as engine:
        for broken in ("\ud800", "\x00", object()):
            with pytest.raises((UnicodeEncodeError, psycopg.Error)):
                Statement("SELECT CAST(:it AS text)").run(engine, {"it": broken})
            with engine.connect() as connection:
                connection.execute(text("INSERT INTO tenants (name) VALUES ('acme')"))
                connection.rollback()
                assert not connection.execute(text("SELECT * FROM tenants")).all()


def test_a_late_message_of_a_deleted_task_repeats_no_effect(world: World) -> None:
    # Given a task that is done, and then deleted, all but its journal
    task_id = world.submit(["note", "courier"])
    (message,) = world.broker.messages
    world.work()
    change(world, "DELETE FROM tasks")
    # When its message comes once more
    world.broker.messages.append(message)
    world.work()
    # I expect the task back, by its journal
    assert state_of(world, task_id) == TaskState.SUCCEEDED
    assert len(world.business.effects) == 2


def test_a_task_deleted_under_its_worker_writes_and_does_nothing_more(world: World) -> None:
    world.submit(["note"])
    world.deliver(world.broker.messages.pop(), [Strike(action="stall", at="model.after")])
    change(world, "DELETE FROM tasks")
    world.wake(0, ())
    assert world.business.effects == []
    assert world.all_tasks() == []


def test_a_message_whose_task_was_deleted_is_taken_as_new(world: World) -> None:
    task_id = world.submit(["note"])
    change(world, "DELETE FROM tasks")
    world.settle()
    assert state_of(world, task_id) == TaskState.SUCCEEDED


def test_nothing_is_lost_while_the_store_is_read_only() -> None:
    with temporary_database() as url, struck_core():
        engine = open_engine(url, connections=4, application="tests")
        world = World(engine)
        task_id = world.submit(["refund"])
        set_read_only = (
            "DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || current_database() || '{}'; END $$"
        )
        change(world, set_read_only.format(" SET default_transaction_read_only = on"))
        engine.dispose()
        # While it is read-only, a delivery and a sweep say so, and the message stays
        with pytest.raises(Unavailable, match=r"read.only"):
            world.work()
        with pytest.raises(Unavailable, match=r"read.only"):
            world.sweep()
        assert len(world.broker.messages) == 1
        with engine.begin() as connection:
            connection.execute(text("SET TRANSACTION READ WRITE"))
            connection.execute(text(set_read_only.format(" RESET default_transaction_read_only")))
        engine.dispose()
        # When it can be written again, I expect all to be done
        world.settle()
        assert state_of(world, task_id) == TaskState.SUCCEEDED
        assert len(world.business.effects) == 1
        world.close()
        engine.dispose()


FULL = """
CREATE FUNCTION be_full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100';
END $$;
CREATE TRIGGER be_full BEFORE {event} ON steps FOR EACH ROW EXECUTE FUNCTION be_full();
"""


@pytest.mark.parametrize("event", ["INSERT", "UPDATE", "INSERT OR UPDATE"])
@pytest.mark.parametrize("wish", ["refund", "note"])
def test_a_full_store_loses_nothing_and_doubles_nothing(
    world: World, event: str, wish: str
) -> None:
    task_id = world.submit([wish])
    change(world, FULL.format(event=event))
    try:
        with pytest.raises(Unavailable, match="No space left"):
            world.work()
    finally:
        change(world, "DROP FUNCTION be_full CASCADE")
    assert len(world.broker.messages) == 1
    # When there is room again and the worker's lease is over, I expect one effect
    change(world, "UPDATE tasks SET lease_until = now() - interval '1 s'")
    world.settle()
    assert state_of(world, task_id) == TaskState.SUCCEEDED
    assert len(world.business.effects) == 1


JUMPS = {
    "a lease": "lease_until = now() + interval '1 year'",
    "a silence": "silent_from = now() + interval '1 year', lease_until = now() - interval '1 day'",
    "a retry": "state = 'retrying', due_at = now() + interval '1 year'",
    "a wake-up": "state = 'queued', woken_at = now() + interval '1 year'",
    "a start": "state = 'queued', submitted_at = now() + interval '1 year', woken_at = NULL",
}


@pytest.mark.parametrize("jump", JUMPS.values(), ids=JUMPS)
def test_times_written_before_the_clock_was_put_back_hold_nothing_up(
    world: World, jump: str
) -> None:
    task_id = world.submit(["note"], session_id="s1")
    world.work(KILL_AFTER_THE_EFFECT)
    world.broker.messages.clear()
    change(world, f"UPDATE tasks SET {jump}")  # noqa: S608 ours
    for _ in range(4):  # no time passes
        world.sweep()
        world.work()
    assert state_of(world, task_id) == TaskState.SUCCEEDED
    assert len(world.business.effects) == 1


def test_a_letter_written_before_the_clock_was_put_back_is_sent(world: World) -> None:
    task_id = world.submit(["note"])
    world.broker.messages.clear()
    change(world, "UPDATE tasks SET woken_at = now()")
    world.broker.send([])
    change(
        world,
        "INSERT INTO outbox (exchange, routing_key, headers, properties, body, try_at) "
        "VALUES ('', 'reply.x', '{}', '{}', '{}', now() + interval '1 year')",
    )
    world.sweep()
    assert not world.rows("outbox")
    assert state_of(world, task_id) == TaskState.QUEUED


def test_a_task_of_an_agent_that_is_gone_is_buried_and_replayed_once_it_is_back(
    world: World,
) -> None:
    # Given a stored task whose agent is not installed any more
    task_id = world.submit(["note"])
    installed, world.catalogue = world.catalogue, AgentCatalogue([])
    # When its message comes, I expect the task itself to be dead, with one letter
    world.settle()
    assert state_of(world, task_id) == TaskState.DEAD
    letters: list[Row[Any]] = world.rows("dead_letters")
    assert [each.reason for each in letters] == ["unknown_agent"]
    # A replay is refused as long as the agent is not there, and the letter stays
    with pytest.raises(UnknownAgent):
        replay(world)
    assert world.rows("dead_letters")[0].settled_at is None
    world.catalogue = installed
    replay(world)
    world.settle()
    assert state_of(world, task_id) == TaskState.SUCCEEDED


def test_a_message_for_an_agent_that_nobody_has_leaves_a_letter_and_no_task(world: World) -> None:
    payload = {"tenant": "acme", "agent": "nobody", "input": "hello", "id": str(UUID(int=7))}
    world.broker.messages.append(
        Message(payload=payload, stored=False, submitted_at=datetime.now(UTC) + timedelta(days=1))
    )
    world.work()
    assert world.all_tasks() == []
    assert [each.reason for each in world.rows("dead_letters")] == ["unknown_agent"]
