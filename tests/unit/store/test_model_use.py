"""Use of models by day: nothing lost where many note at once, and each tenant sees its own."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import Engine, func, select, update

from fleet_workers.store.model_tables import model_days
from fleet_workers.store.model_use import Use, note_sums, used
from fleet_workers.store.row_security import for_tenant

TODAY = datetime.now(UTC).date()
USE = Use(
    tenant="acme",
    agent="billing",
    model="m",
    tier="small",
    source="model",
    prompt_tokens=100,
    completion_tokens=10,
    cached_tokens=40,
    cost_usd=Decimal("0.00000001"),
    saved_by_tier_usd=Decimal("0.5"),
)


@pytest.fixture(autouse=True)
def _nothing_used(engine: Engine) -> Iterator[None]:
    yield
    with engine.begin() as connection:
        connection.execute(model_days.delete())


def note(engine: Engine, *uses: Use) -> None:
    with engine.begin() as connection:
        note_sums(connection, {each.key: each.sums for each in uses})


def test_every_reply_counts_however_many_processes_write_at_once(engine: Engine) -> None:
    others = [replace(USE, model=name) for name in "abc"]

    def work(number: int) -> None:
        for _ in range(10):
            note(engine, *(others if number % 2 else reversed(others)), USE)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    with engine.connect() as connection:
        found = used(connection, since=TODAY)
        rows = connection.execute(select(func.count()).select_from(model_days)).scalar()
    assert {each.model: each.calls for each in found} == dict.fromkeys("abcm", 80)
    day = found[-1]
    assert (day.prompt_tokens, day.completion_tokens, day.cached_tokens) == (8000, 800, 3200)
    assert (day.cost_usd, day.saved_by_tier_usd) == (Decimal("0.0000008"), 40)
    # I expect several rows for each, so that who writes at once seldom waits
    assert rows is not None
    assert rows > len(found)


def test_what_is_undone_with_its_transaction_is_not_counted(engine: Engine) -> None:
    with engine.connect() as connection:
        note_sums(connection, {USE.key: USE.sums})
        connection.rollback()
        assert used(connection, since=TODAY) == []


def test_a_cost_that_is_not_known_is_told_and_not_taken_for_nothing(engine: Engine) -> None:
    note(engine, replace(USE, cost_usd=None))
    with engine.connect() as connection:
        (day,) = used(connection, since=TODAY)
    assert (day.calls, day.unpriced, day.cost_usd) == (1, 1, 0)


def test_days_and_tenants_can_be_chosen_the_dearest_come_first(engine: Engine) -> None:
    note(engine, USE)
    with engine.begin() as connection:
        connection.execute(update(model_days).values(day=TODAY - timedelta(days=1)))
    note(engine, USE)
    note(engine, replace(USE, tenant="other", cost_usd=Decimal(5)))
    with engine.connect() as connection:
        found = used(connection, since=TODAY - timedelta(days=1))
        assert [(each.day, each.tenant) for each in found] == [
            (TODAY, "other"),
            (TODAY, "acme"),
            (TODAY - timedelta(days=1), "acme"),
        ]
        yesterday = TODAY - timedelta(days=1)
        assert len(used(connection, since=yesterday, until=yesterday)) == 1
        assert [each.tenant for each in used(connection, since=TODAY, tenant="acme")] == ["acme"]


def test_a_tenant_sees_its_own_use_alone(engine: Engine) -> None:
    note(engine, USE)
    note(engine, replace(USE, tenant="other"))
    with for_tenant(engine, "acme").connect() as connection:
        assert [each.tenant for each in used(connection, since=TODAY)] == ["acme"]


def test_an_endpoint_may_call_its_model_what_it_likes(engine: Engine) -> None:
    note(engine, replace(USE, model="a\0\ud800b" + "ж" * 10_000))
    with engine.connect() as connection:
        (day,) = used(connection, since=TODAY)
    assert day.model.startswith("a?bж")
    assert len(day.model) == 200
