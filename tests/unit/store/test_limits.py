"""Limits of tenants and agents hold for the whole fleet, however many claim at once."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, insert, text

from fleet_contracts.envelope import build_envelope
from fleet_contracts.errors import InvalidInput
from fleet_workers.controller.shares import Shares
from fleet_workers.controller.turns import Idle, Taken, Turns
from fleet_workers.store import claims, limits, tables, tasks
from fleet_workers.store.claims import Holder
from support.databases import empty_tables

LONG = timedelta(minutes=5)
AGENTS = ("billing", "support")


@pytest.fixture(autouse=True)
def _tenants(engine: Engine) -> None:
    with engine.begin() as connection:
        empty_tables(connection)
        connection.execute(insert(tables.tenants), [{"name": "acme"}, {"name": "globex"}])


def submit(engine: Engine, number: int, tenant: str = "acme", agent: str = "billing") -> None:
    with engine.begin() as connection:
        for each in range(number):
            envelope = build_envelope(tenant=tenant, agent=agent, input=f"hello {each}")
            tasks.accept(connection, envelope, traceparent=None)


def set_limit(engine: Engine, tenant: str = "*", agent: str = "*", **values: Any) -> None:
    with engine.begin() as connection:
        limits.set_limit(connection, tenant=tenant, agent=agent, set_by="test", **values)


def turns(engine: Engine, place: int = 0) -> Turns:
    """A process of its own: it knows nothing of what others have found full."""
    holder = Holder(worker=f"w{place}", presence=place, lease=LONG, silence=LONG)
    return Turns(engine, holder, Shares(slots=100))


def begun(found: Turns) -> list[tuple[str, str]]:
    """Tenant and agent of all that begins until nothing more may."""
    taken = []
    while isinstance(one := found.take_next(AGENTS), Taken):
        taken.append((one.envelope.tenant, one.claim.agent))
    return taken


def end(engine: Engine, number: int) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("""
            UPDATE tasks SET state = 'succeeded', finished_at = now() WHERE id IN (
                SELECT id FROM tasks WHERE state = 'running' LIMIT :number)
            """),
            {"number": number},
        )


def test_no_more_run_at_once_than_the_limit_of_a_tenant_an_agent_or_both(engine: Engine) -> None:
    for tenant in ("acme", "globex"):
        for agent in AGENTS:
            submit(engine, 6, tenant, agent)
    set_limit(engine, "acme", "billing", concurrency=1)
    set_limit(engine, "acme", concurrency=3)
    set_limit(engine, agent="support", concurrency=4)
    found = begun(turns(engine))
    assert found.count(("acme", "billing")) == 1
    assert len([tenant for tenant, _ in found if tenant == "acme"]) <= 3
    assert len([agent for _, agent in found if agent == "support"]) == 4
    assert found.count(("globex", "billing")) == 6
    assert begun(turns(engine)) == []


def test_a_place_that_is_given_back_is_taken_again(engine: Engine) -> None:
    submit(engine, 5)
    set_limit(engine, "acme", concurrency=2)
    mine = turns(engine)
    assert len(begun(mine)) == 2
    assert mine.take_next(AGENTS) is Idle.FOR_NOW
    end(engine, 1)
    assert len(begun(turns(engine))) == 1


def test_processes_that_claim_at_once_never_exceed_a_limit(engine: Engine) -> None:
    submit(engine, 60)
    set_limit(engine, "acme", concurrency=3)
    most = []

    def work(place: int) -> int:
        mine, done = turns(engine, place), 0
        ends_at = time.monotonic() + 20
        while time.monotonic() < ends_at:
            found = mine.take_next(AGENTS)
            with engine.begin() as connection:
                query = text(
                    "SELECT count(*) FILTER (WHERE state = 'running') AS running, "
                    "count(*) FILTER (WHERE state = 'queued') AS queued FROM tasks"
                )
                row = connection.execute(query).one()
            most.append(row.running)
            if isinstance(found, Taken):
                with engine.begin() as connection:
                    _finish(connection, found)
                mine._shares.end("acme", "billing")
                done += 1
            elif row.queued == 0:
                break
            else:
                time.sleep(0.01)
        return done

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(work, range(4))) == 60
    assert max(most) <= 3


def _finish(connection: Connection, taken: Taken) -> None:
    connection.execute(
        text("UPDATE tasks SET state = 'succeeded', finished_at = now() WHERE id = :id"),
        {"id": taken.claim.task_id},
    )


def test_a_limit_holds_for_a_new_task_with_its_own_message(engine: Engine) -> None:
    set_limit(engine, agent="billing", concurrency=1)
    envelope = build_envelope(tenant="acme", agent="billing", input="hello")
    holder = Holder(worker="w", presence=1, lease=LONG, silence=LONG)
    assert claims.take_new(engine, envelope, holder, traceparent=None) is None


@pytest.mark.parametrize(("starts", "at_once"), [(1, 1), (10, 1), (40, 3)])
def test_no_span_holds_more_starts_than_its_rate(engine: Engine, starts: int, at_once: int) -> None:
    submit(engine, starts + at_once + 5)
    span = 2.0 if starts > 1 else 0.5
    set_limit(engine, "acme", rate=(starts, span))
    times: list[float] = []
    ends_at = time.monotonic() + 2.2 * span
    mine = turns(engine)
    begin = time.monotonic()
    first = len(begun(mine))
    # While the first ones are claimed the next come due, on a machine that is busy.
    assert at_once <= first <= at_once + (time.monotonic() - begin) * starts / span + 1
    while time.monotonic() < ends_at:
        if isinstance(mine.take_next(AGENTS), Taken):
            times.append(time.monotonic())
        else:
            time.sleep(min(0.02, mine._shares.seconds_to_next() or 0.001))
    assert times
    for moment in times:
        # An instant less than a span: the claim is a moment before what is noted here
        held = [each for each in times if moment <= each < moment + span * 0.95]
        assert len(held) <= starts


def test_limits_are_read_set_again_and_cleared(engine: Engine) -> None:
    set_limit(engine, "acme", concurrency=3)
    set_limit(engine, "acme", rate=(10, 1.0), weight=2.0)
    with engine.begin() as connection:
        (found,) = limits.all_limits(connection)
        assert (found.concurrency, found.starts, found.span_seconds, found.weight) == (
            3,
            10,
            1.0,
            2.0,
        )
        assert limits.clear_limit(connection, tenant="acme", agent="*", cleared_by="test")
        assert not limits.clear_limit(connection, tenant="acme", agent="*", cleared_by="test")
        assert limits.all_limits(connection) == []
        kinds = connection.execute(text("SELECT count(*) FROM audit_inbox WHERE kind = 'limit'"))
        assert kinds.scalar_one() >= 3


@pytest.mark.parametrize(
    ("where", "values", "remedy"),
    [
        ({}, {}, "Name a concurrency"),
        ({}, {"concurrency": 0}, "pause"),
        ({}, {"rate": (0, 1.0)}, "10/second"),
        ({"tenant": "acme"}, {"weight": 0.0}, "over 0"),
        ({"agent": "billing", "tenant": "acme"}, {"weight": 2.0}, "no agent"),
        ({}, {"weight": 2.0}, "name a tenant"),
    ],
)
def test_what_is_no_limit_is_refused_with_the_remedy(
    engine: Engine, where: dict[str, str], values: dict[str, Any], remedy: str
) -> None:
    with pytest.raises(InvalidInput, match=remedy):
        set_limit(engine, **where, **values)


def test_weights_are_shares_of_a_busy_process(engine: Engine) -> None:
    for tenant in ("acme", "globex"):
        submit(engine, 30, tenant)
    set_limit(engine, "acme", weight=3.0)
    mine = turns(engine)
    taken = [mine.take_next(AGENTS) for _ in range(20)]
    tenants = [each.envelope.tenant for each in taken if isinstance(each, Taken)]
    assert tenants.count("acme") == 15
