"""What a process has noted reaches the store, if late: a store that is away loses none of it."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from sqlalchemy import Engine
from structlog.testing import capture_logs

from fleet_workers.store.engine import open_engine
from fleet_workers.store.model_tables import model_days
from fleet_workers.store.model_use import Use, used
from fleet_workers.store.use_counter import UseCounter, counted_use

USE = Use(
    tenant="acme",
    agent="billing",
    model="m",
    tier="small",
    source="model",
    prompt_tokens=100,
    cost_usd=Decimal("0.00000001"),
)


@pytest.fixture(autouse=True)
def _nothing_used(engine: Engine) -> Iterator[None]:
    yield
    with engine.begin() as connection:
        connection.execute(model_days.delete())


def calls(engine: Engine) -> dict[str, int]:
    with engine.connect() as connection:
        found = used(connection, since=datetime.now(UTC).date())
    return {each.model: each.calls for each in found}


def test_what_all_slots_note_is_written_after_a_moment(engine: Engine) -> None:
    counter = UseCounter(engine, every_seconds=0.05)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: counter.note(USE), range(200)))
    end = time.monotonic() + 10
    while calls(engine) != {"m": 200}:
        assert time.monotonic() < end
        time.sleep(0.01)
    counter.note(replace(USE, model="n"))
    counter.close()
    # I expect what came last to be written by the close, and nothing twice
    assert calls(engine) == {"m": 200, "n": 1}
    counter.close()
    assert calls(engine) == {"m": 200, "n": 1}


def test_a_store_that_is_away_loses_nothing(engine: Engine) -> None:
    away = open_engine("postgresql+psycopg://127.0.0.1:1/none", connections=1, application="x")
    counter = UseCounter(away, every_seconds=60)
    counter.note(USE)
    assert not counter.flush()
    counter.note(USE)
    counter._engine = engine  # it is back
    assert counter.flush()
    assert calls(engine) == {"m": 2}
    counter.close()
    away.dispose()


def test_a_value_that_the_store_refuses_takes_no_other_with_it(engine: Engine) -> None:
    counter = UseCounter(engine, every_seconds=60)
    for model, cost in (("a", 1), ("b", 10**25), ("c", 1)):
        counter.note(replace(USE, model=model, cost_usd=Decimal(cost)))
    with capture_logs() as logs:
        assert counter.flush()
    assert calls(engine) == {"a": 1, "c": 1}
    assert [each["event"] for each in logs] == ["model_use.refused"]
    counter.close()


def test_without_a_store_nothing_is_noted() -> None:
    with counted_use(None) as note:
        note(USE)
