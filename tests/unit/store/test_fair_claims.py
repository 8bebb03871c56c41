"""Which queued task is next, asked of a real store."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, insert, text

from fleet_contracts.envelope import TaskEnvelope, build_envelope
from fleet_workers.store import pauses, tables, tasks
from fleet_workers.store.claims import Claim, Holder, take_new
from fleet_workers.store.fair_claims import Next, Standing, claim_with_care, take_next
from support.databases import empty_tables

LONG = timedelta(minutes=5)
HOLDER = Holder(worker="w1", presence=1, lease=LONG, silence=LONG)
AGENTS = ("billing", "support")


@pytest.fixture(autouse=True)
def _tenants(engine: Engine) -> None:
    with engine.begin() as connection:
        empty_tables(connection)
        connection.execute(
            insert(tables.tenants), [{"name": name} for name in ("acme", "globex", "initech")]
        )


def submit(engine: Engine, tenant: str = "acme", *, age: float = 0.0, **fields: Any) -> UUID:
    """Queue a task that was submitted `age` seconds ago."""
    values = {"tenant": tenant, "agent": "billing", "input": "hello", **fields}
    envelope = build_envelope(**values)
    with engine.begin() as connection:
        tasks.accept(
            connection,
            envelope,
            traceparent=None,
            submitted_at=datetime.now(UTC) - timedelta(seconds=age),
        )
    return envelope.id


def take(engine: Engine, agents: Sequence[str] = AGENTS, **standing: Any) -> Next | None:
    return take_next(engine, agents, HOLDER, Standing(**standing))


def drain(engine: Engine, **standing: Any) -> list[UUID]:
    """All that is to be had, in the order in which it is."""
    found = []
    while (one := take(engine, **standing)) is not None:
        assert one.claim is not None
        found.append(one.task_id)
    return found


def test_of_one_tenant_the_urgent_come_first_but_pass_nobody_who_has_waited_long(
    engine: Engine,
) -> None:
    old_bulk = submit(engine, priority="bulk", age=4000)
    high = submit(engine, priority="high")
    waiting_normal = submit(engine, age=400)
    normal = [submit(engine, age=2), submit(engine, age=1)]
    bulk = submit(engine, priority="bulk", age=60)
    assert drain(engine) == [old_bulk, waiting_normal, high, *normal, bulk]


def test_the_tenant_that_runs_the_least_is_next_whatever_the_others_have_queued(
    engine: Engine,
) -> None:
    for _ in range(5):
        submit(engine, age=100)
    late = submit(engine, "globex", priority="bulk")
    found = take(engine, tenants=["acme"], running=[1], served=[0.0])
    assert found is not None
    assert found.task_id == late
    found = take(engine, tenants=["acme"], running=[9], served=[0.0])
    assert found is not None
    assert found.tenant == "acme"


def test_of_two_that_run_as_much_the_one_that_was_given_less_is_next(engine: Engine) -> None:
    for tenant in ("acme", "globex"):
        submit(engine, tenant, age=5)
    running: dict[str, Any] = {"tenants": ["acme", "globex"], "running": [2, 2]}
    found = take(engine, **running, served=[7.0, 6.0], now=6.0)
    assert found is not None
    assert found.tenant == "globex"
    submit(engine, "initech")
    found = take(engine, tenants=["acme"], running=[0], served=[7.0], now=6.0)
    assert found is not None
    assert found.tenant == "initech"


def test_the_last_slots_and_full_limits_pass_a_tenant_over(engine: Engine) -> None:
    submit(engine)
    submit(engine, agent="support")
    here: dict[str, Any] = {"tenants": ["acme"], "running": [3], "served": [0.0]}
    assert take(engine, **here, fewer_than=3) is None
    assert take(engine, at_limit=[("*", "billing"), ("acme", "support")]) is None
    assert take(engine, at_limit=[("globex", "*")]) is not None
    assert take(engine, **here, fewer_than=4) is not None
    assert take(engine, at_limit=[]) is None


def test_a_new_task_passes_the_queue_of_one_tenant_and_of_no_other(engine: Engine) -> None:
    def begins(tenant: str, passed_over: str) -> bool:
        new = build_envelope(tenant=tenant, agent="billing", input="new")
        claim = take_new(engine, new, HOLDER, traceparent=None, passed_over=passed_over)
        return claim is not None

    assert begins("globex", "")
    submit(engine, "globex", age=100)
    assert not begins("initech", "")
    assert not begins("initech", "acme")
    assert not begins("acme", "initech")
    assert begins("initech", "globex")
    assert begins("acme", "globex")
    submit(engine, "acme")
    assert not begins("initech", "globex")
    assert not begins("globex", "acme")  # it does not pass its own


def test_only_agents_that_are_served_and_nothing_paused_or_put_off(engine: Engine) -> None:
    submit(engine, agent="onboarding")
    later = datetime.now(UTC) + timedelta(hours=1)
    submit(engine, not_before=later)
    submit(engine, "globex")
    mine = submit(engine, "initech")
    with engine.begin() as connection:
        pauses.pause(connection, agent="*", tenant="globex", reason="r", paused_by="p")
    assert drain(engine) == [mine]


def test_a_tenant_with_ten_thousand_and_many_tenants_are_walked_alike(engine: Engine) -> None:
    envelope = build_envelope(tenant="acme", agent="billing", input="hello")
    with engine.begin() as connection:
        connection.execute(
            text("""
            INSERT INTO tasks (id, tenant, agent, requested_agent, state, envelope, content_hash,
                woken_at)
            SELECT gen_random_uuid(), 'acme', 'billing', 'billing', 'queued',
                CAST(:envelope AS jsonb), 'hash', now() FROM generate_series(1, 10000)
            """),
            {"envelope": envelope.to_json()},
        )
    late = submit(engine, "globex")
    found = take(engine, tenants=["acme"], running=[1], served=[0.0])
    assert found is not None
    assert found.task_id == late
    with engine.begin() as connection:
        before = _rows_read(connection)
        connection.execute(text("SET LOCAL enable_seqscan = on"))
        assert take_next(connection, AGENTS, HOLDER, Standing()) is not None
        # The walk reads one entry a tenant, not ten thousand
        assert _rows_read(connection) - before < 100


def _rows_read(connection: Any) -> int:
    query = (
        "SELECT pg_stat_get_xact_tuples_fetched(CAST('tasks' AS regclass)) + "
        "pg_stat_get_xact_tuples_returned(CAST('tasks' AS regclass))"
    )
    return int(connection.execute(text(query)).scalar_one())


def test_many_who_look_at_once_get_a_task_each(engine: Engine) -> None:
    ids = [submit(engine, tenant) for tenant in ("acme", "globex") for _ in range(20)]

    def work(_: int) -> list[UUID]:
        return drain(engine)

    with ThreadPoolExecutor(4) as pool:
        found = [task_id for share in pool.map(work, range(4)) for task_id in share]
    # One that is locked is passed over, so a look may come to nothing while others take the last
    found += drain(engine)
    assert sorted(found) == sorted(ids)


def with_care(engine: Engine, found: Next | None) -> Any:
    assert found is not None
    assert found.claim is None
    with engine.begin() as connection:
        envelope = TaskEnvelope.model_validate(found.envelope)
        return claim_with_care(connection, found, envelope, HOLDER)


def test_a_session_that_is_not_at_its_turn_hides_nobody(engine: Engine) -> None:
    first, second, third = (submit(engine, session_id="s", age=9 - each) for each in range(3))
    other = submit(engine)
    assert isinstance(with_care(engine, take(engine)), Claim)
    # The others of the session are put aside, one after another, and found no more
    assert with_care(engine, take(engine)) is None
    assert with_care(engine, take(engine)) is None
    assert drain(engine) == [other]
    with engine.begin() as connection:
        query = text("SELECT id FROM tasks WHERE woken_at IS NULL ORDER BY submitted_at")
        assert list(connection.execute(query).scalars()) == [second, third]
    assert first != second
