"""Queues and pools in the console, and what the store and the broker know of them."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import count

import httpx2
import pytest
from sqlalchemy import text

from fleet_contracts.errors import Unavailable
from fleet_workers.store import pauses
from fleet_workers.store.claims import Holder
from fleet_workers.store.engine import open_engine
from fleet_workers.store.leases import LeaseKeeper
from fleet_workers.store.model_use import Use, note_sums
from fleet_workers.store.pools import Worker, load_by_agent, pool_name, pools, workers_alive
from fleet_workers.web import create_app
from fleet_workers.web.queue_depths import QueueDepths
from support.asgi_server import serving
from support.bench import until
from support.web_server import Site

POOLS = "/console/pools"
_presences = count(700_001)


@contextmanager
def worker(site: Site, *agents: str, slots: int = 20, shown: str = "") -> Iterator[LeaseKeeper]:
    """A process that is present, as a worker's keeper of leases is."""
    lease = timedelta(seconds=30)
    holder = Holder(worker="host:17", presence=next(_presences), lease=lease, silence=lease)
    own = open_engine(
        site.engine.url.render_as_string(hide_password=False),
        connections=1,
        application=pool_name(agents, slots, worker=shown),
        ping=False,
    )
    keeper = LeaseKeeper(own, holder, every=timedelta(seconds=0.2))
    keeper.start()
    try:
        yield keeper
    finally:
        keeper.stop()
        own.dispose()
        # PostgreSQL sees the end of a connection a moment later.
        until(lambda: not any_alive(site), what="the end of the process")


def any_alive(site: Site) -> bool:
    with site.engine.begin() as connection:
        return bool(workers_alive(connection))


def page(site: Site, role: str = "viewer", tenant: str = "*") -> str:
    with site.browser(role, tenant) as browser:
        return browser.get(POOLS).text


def test_open_tasks_are_counted_by_agent_and_tenant(site: Site) -> None:
    site.accepted("acme")
    site.accepted("globex")
    site.claimed()
    site.parked("Why?")
    with site.engine.begin() as connection:
        ours = load_by_agent(connection, tenant="acme")["billing"]
        everyones = load_by_agent(connection, tenant=None)["billing"]
    assert (ours.queued, ours.running, ours.retrying, ours.in_review) == (1, 1, 0, 1)
    assert everyones.queued == 2
    assert ours.oldest_at is not None


def test_a_process_is_seen_with_what_it_serves_while_it_lives(site: Site) -> None:
    with worker(site, "billing", "auto", slots=20) as keeper:
        with site.engine.begin() as connection:
            (alive,) = workers_alive(connection)
        assert (alive.presence, alive.slots, alive.agents) == (
            keeper._holder.presence,
            20,
            ("billing", "auto"),
        )
        text = page(site)
        assert "billing, auto" in text
        assert "Worker processes" in text
        assert "Worker processes" not in page(site, tenant="acme")
    assert not any_alive(site)


def test_tasks_that_nobody_will_take_are_told(site: Site) -> None:
    site.accepted("acme", agent="onboarding")
    assert "onboarding is offline:" in page(site, tenant="acme")
    with worker(site, "onboarding"):
        assert "is offline:" not in page(site, tenant="acme")
    with site.engine.begin() as connection:
        pauses.pause(connection, agent="onboarding", tenant="*", reason="x", paused_by="ann")
    text = page(site, tenant="acme")
    assert "is offline:" not in text
    assert ">paused<" in text


def test_what_models_took_and_saved_today_is_told_to_each_tenant_for_itself(site: Site) -> None:
    assert "Models today" not in page(site)
    use = Use(
        tenant="acme",
        agent="<billing>",
        model="m",
        tier="small",
        source="semantic_cache",
        cost_usd=Decimal(0),
        saved_usd=Decimal("12.34"),
    )
    uses = (use, replace(use, tenant="globex", source="model", cost_usd=None))
    with site.engine.begin() as connection:
        note_sums(connection, {each.key: each.sums for each in uses})
    ours, everyones = page(site, tenant="acme"), page(site)
    assert "&lt;billing&gt;" in ours
    assert "12.34" in ours
    assert "globex" not in ours
    assert "1 of unknown cost" not in ours
    assert "1 of unknown cost" in everyones


def test_the_name_of_a_pool_fits_what_postgresql_keeps() -> None:
    assert pool_name(("billing", "auto"), 100) == "pool 100 billing auto"
    long = pool_name([f"agent_number_{each}" for each in range(9)], 100)
    assert long.endswith(" +")
    assert len(long.encode()) <= 63


@pytest.mark.parametrize(
    ("agents", "shown"),
    [
        (("billing", "auto"), "pool-billing-7d9f8b6c5d-x2x4z:17"),
        (("technical_support", "auto"), "~ol-billing-7d9f8b6c5d-x2x4z:17"),
        (("technical_support", "onboarding", "invoices"), "~8b6c5d-x2x4z:17"),
        (("technical_support", "onboarding", "invoices_of_march"), None),
    ],
)
def test_agents_are_named_whole_and_the_host_as_far_as_there_is_room(
    agents: tuple[str, ...], shown: str | None
) -> None:
    name = pool_name(agents, 100, worker="pool-billing-7d9f8b6c5d-x2x4z:17")
    assert name.split()[2:] == [*([shown] if shown else []), *agents]
    assert len(name) <= 63


def test_an_idle_process_is_known_by_host_and_id_and_one_that_ends_counts_no_more(
    site: Site,
) -> None:
    with worker(site, "billing", slots=20, shown="host:17") as keeper:
        with site.engine.begin() as connection:
            (alive,) = workers_alive(connection)
        assert (alive.name, alive.agents, alive.free_slots) == ("host:17", ("billing",), 20)
        assert (pools({}, [alive])[0].processes, pools({}, [alive])[0].slots) == (1, 20)
        keeper.rename(pool_name(("billing",), 20, worker="host:17", is_draining=True))

        def ending() -> Worker | None:
            with site.engine.begin() as connection:
                return next((each for each in workers_alive(connection) if each.is_draining), None)

        ended = until(ending, what="the new name")
        assert (ended.name, ended.slots, ended.free_slots) == ("host:17", 20, 0)
        assert pools({}, [ended]) == []
        assert ">ending<" in page(site)


def test_slots_and_load_of_a_shared_process_count_for_each_of_its_agents() -> None:
    def process(*agents: str, running: int, is_draining: bool = False) -> Worker:
        return Worker(
            presence=1,
            name=None,
            slots=10,
            agents=agents,
            is_whole=True,
            running=running,
            since=None,
            is_draining=is_draining,
        )

    alive = [
        process("billing", "auto", running=4),
        process("billing", running=2),
        process("auto", running=7, is_draining=True),
    ]
    found = {each.agent: each for each in pools({}, alive, ["onboarding"])}
    assert list(found) == ["auto", "billing", "onboarding"]
    assert [(each.processes, each.slots, each.busy) for each in found.values()] == [
        (1, 10, 0.4),
        (2, 20, 0.3),
        (0, 0, None),
    ]


def test_what_is_put_off_is_no_backlog_and_what_came_back_waits_since_then(site: Site) -> None:
    ids = [site.accepted("acme") for _ in range(3)]
    with site.engine.begin() as connection:
        connection.execute(text("UPDATE tasks SET created_at = now() - interval '1 hour'"))
        connection.execute(
            text("UPDATE tasks SET due_at = now() + interval '1 h' WHERE id = :id"), {"id": ids[0]}
        )
        connection.execute(
            text("UPDATE tasks SET epoch = 1, woken_at = now() - interval '9 s' WHERE id = :id"),
            {"id": ids[1]},
        )
        all_three = load_by_agent(connection, tenant=None)
        now = connection.execute(text("SELECT now()")).scalar_one()
        connection.execute(text("DELETE FROM tasks WHERE id = :id"), {"id": ids[2]})
        two = load_by_agent(connection, tenant=None)
    assert (all_three["billing"].queued, all_three["billing"].put_off) == (2, 1)
    assert pools(all_three, [])[0].oldest_seconds(now) == 3600
    assert pools(two, [])[0].oldest_seconds(now) == 9
    assert pools({}, [], ["billing"])[0].oldest_seconds(now) == 0


def test_many_agents_are_told_as_more(site: Site) -> None:
    with worker(site, *(f"agent_number_{each}" for each in range(9))):
        with site.engine.begin() as connection:
            (alive,) = workers_alive(connection)
        assert not alive.is_whole
        assert "+" not in alive.agents
        assert ", and more" in page(site)


def test_a_broker_that_hangs_or_is_away_costs_a_page_no_time(site: Site) -> None:
    held = threading.Event()

    def hangs(_agent: str) -> int:
        held.wait(20)
        return 0

    def is_away(_agent: str) -> int:
        raise Unavailable("The broker is away.")

    for counts, known in ((hangs, False), (is_away, False), (lambda _: 41, True)):
        resources = replace(site.resources, queue_depths=QueueDepths(counts))
        with (
            serving(create_app(resources)) as url,
            httpx2.Client(base_url=url, follow_redirects=True) as browser,
        ):
            browser.post("/console/sign-in", data={"key": site.key("viewer", "*")})
            begun_at = time.monotonic()
            text = browser.get(POOLS).text
            took_seconds = time.monotonic() - begun_at
        assert took_seconds < 5
        assert ("The broker does not tell" not in text) is known
        assert (">41<" in text) is known
    held.set()


def test_the_broker_is_asked_once_by_any_number_of_readers() -> None:
    asked: list[str] = []
    depths = QueueDepths(lambda agent: asked.append(agent) or len(asked))
    readers = [threading.Thread(target=depths.look, args=(["a", "b"],)) for _ in range(20)]
    for each in readers:
        each.start()
    for each in readers:
        each.join()
    assert depths.look(["a", "b"]) == {"a": 1, "b": 2}
    assert asked == ["a", "b"]


@pytest.mark.parametrize("error", [Unavailable("away"), RuntimeError("a fault")])
def test_what_goes_wrong_at_the_broker_is_nothing_to_the_page(error: Exception) -> None:
    def fails(_agent: str) -> int:
        raise error

    assert QueueDepths(fails).look(["a"]) is None
