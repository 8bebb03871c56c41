"""Messages become tasks, each once, whoever is killed in between."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, text

from fleet_contracts.errors import Conflict, InvalidEnvelope, TooEarly, UnknownAgent, UnknownTenant
from fleet_workers.agents import load_catalogue
from fleet_workers.intake.publishers import Publishers
from fleet_workers.intake.reading import IntakeMessage
from fleet_workers.intake.taking import IntakeDesk
from fleet_workers.store.accounts import add_tenant
from support.databases import empty_tables, temporary_store


@pytest.fixture(scope="module")
def _running() -> Iterator[Engine]:
    with temporary_store(connections=5) as engine:
        yield engine


@pytest.fixture
def engine(_running: Engine) -> Engine:
    with _running.begin() as connection:
        empty_tables(connection)
        add_tenant(connection, "acme")
    return _running


def desk(engine: Engine, session: UUID | None = None) -> IntakeDesk:
    return IntakeDesk(engine, load_catalogue(), Publishers.of(()), session=session or uuid4())


def message(text: str = "Hello", *, again: bool = False, **fields: Any) -> IntakeMessage:
    body = {"tenant": "acme", "agent": "billing", "input": text, **fields}
    return IntakeMessage(body=json.dumps(body).encode(), headers={}, is_redelivered=again)


def inputs(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT envelope ->> 'input' FROM tasks ORDER BY 1"))
        return list(rows.scalars())


def grow_old(engine: Engine, age: timedelta) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE intake_taken SET taken_at = taken_at - :age"), {"age": age})


def test_tasks_are_taken_and_the_others_told_apart(engine: Engine) -> None:
    key = {"idempotency_key": "k"}
    taken = desk(engine).take(
        [
            message("One"),
            message("Two", tenant="nobody"),
            message("Three", agent="nobody"),
            IntakeMessage(body=b"four", headers={}),
            message("Five", **key),
            message("Six", **key),
            message("Five", **key),
        ]
    )
    refused = {place: type(error) for place, error in taken.refusals.items()}
    assert {place: refused[place] for place in (1, 2, 3)} == {
        1: UnknownTenant,
        2: UnknownAgent,
        3: InvalidEnvelope,
    }
    assert list(refused.values()).count(Conflict) == 1
    assert len(inputs(engine)) == len(taken.letters) == 2


def test_what_the_store_cannot_hold_is_refused_alone(engine: Engine) -> None:
    """However a message gets past the checks: the others do not suffer for it."""
    with engine.begin() as connection:
        connection.execute(
            text("ALTER TABLE tasks ADD CONSTRAINT no_bad CHECK (envelope ->> 'input' <> 'bad')")
        )
    try:
        taken = desk(engine).take([message("One"), message("bad"), message("Two")])
    finally:
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE tasks DROP CONSTRAINT no_bad"))
    assert {place: type(error) for place, error in taken.refusals.items()} == {1: InvalidEnvelope}
    assert inputs(engine) == ["One", "Two"]
    assert len(taken.letters) == 2


def test_a_message_that_comes_again_after_a_crash_is_known_by_its_content(engine: Engine) -> None:
    desk(engine).take([message("Same"), message("Same")])  # and dies before it acknowledges
    grow_old(engine, timedelta(seconds=11))
    second = desk(engine)
    again = second.take([message("Same", again=True), message("New", again=True)])
    assert inputs(engine) == ["New", "Same", "Same"]
    assert len(again.letters) == 1
    second.take([message("Same", again=True)])
    assert inputs(engine) == ["New", "Same", "Same"]
    second.take([message("Same", again=True)])  # of a third one, which nobody had taken in
    assert inputs(engine) == ["New", "Same", "Same", "Same"]


def test_a_message_that_comes_for_the_first_time_is_always_a_task(engine: Engine) -> None:
    desk(engine).take([message("Same")])
    grow_old(engine, timedelta(seconds=11))
    desk(engine).take([message("Same")])
    assert inputs(engine) == ["Same", "Same"]


def test_what_another_session_may_be_acknowledging_is_waited_for(engine: Engine) -> None:
    desk(engine).take([message("Same")])
    with pytest.raises(TooEarly):
        desk(engine).take([message("Other"), message("Same", again=True)])
    assert inputs(engine) == ["Same"]


def test_what_was_acknowledged_is_forgotten(engine: Engine) -> None:
    first = desk(engine)
    first.forget(first.take([message("Same")]).rows)
    desk(engine).take([message("Same", again=True)])
    assert inputs(engine) == ["Same", "Same"]


def test_what_was_left_for_an_hour_counts_no_more(engine: Engine) -> None:
    desk(engine).take([message("Same")])
    grow_old(engine, timedelta(minutes=61))
    desk(engine).take([message("Same", again=True)])
    assert inputs(engine) == ["Same", "Same"]


def test_a_task_of_a_later_time_is_taken_without_waking_anybody(engine: Engine) -> None:
    taken = desk(engine).take([message("Later", not_before="2099-01-01T00:00:00Z")])
    assert list(taken.refusals) == [0]  # further off than a year
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    taken = desk(engine).take([message("Later", not_before=soon)])
    assert (taken.refusals, taken.letters, inputs(engine)) == ({}, [], ["Later"])
