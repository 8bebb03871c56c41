"""`fleetctl pools` inside this process, on a store of its own; its broker is away."""

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from fleet_contracts.envelope import build_envelope
from fleet_workers.broker.postman import Postman
from fleet_workers.cli import cli
from fleet_workers.cli.terminal import console
from fleet_workers.store import pauses, tasks
from fleet_workers.store.claims import Holder
from fleet_workers.store.engine import open_engine
from fleet_workers.store.leases import LeaseKeeper
from fleet_workers.store.pools import pool_name
from support.databases import temporary_database

LEASE = timedelta(seconds=30)


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with temporary_database() as url:
        monkeypatch.setenv("FLEET_STORE_URL", url.replace("+psycopg", ""))
        monkeypatch.setenv("FLEET_BROKER_URL", "amqp://127.0.0.1:1")
        monkeypatch.delenv("FLEET_AGENTS_PATH", raising=False)
        monkeypatch.setattr(console, "width", 200)
        engine = open_engine(url, connections=2, application="tests")
        with engine.begin() as connection:
            for agent in ("billing", "billing", "onboarding"):
                envelope = build_envelope(agent=agent, tenant="acme", input="Where is it?")
                tasks.accept(connection, envelope, traceparent=None)
            connection.execute(text("UPDATE tasks SET created_at = now() - interval '90 s'"))
            pauses.pause(connection, agent="onboarding", tenant="*", reason="x", paused_by="ann")
        engine.dispose()
        yield url


@pytest.fixture
def worker(url: str) -> Iterator[None]:
    name = pool_name(("billing", "auto"), 40, worker="box:4711")
    engine = open_engine(url, connections=1, application=name, ping=False)
    holder = Holder(worker="box:4711", presence=17, lease=LEASE, silence=LEASE)
    keeper = LeaseKeeper(engine, holder, every=timedelta(seconds=0.2))
    keeper.start()
    yield
    keeper.stop()
    engine.dispose()


def pools(*words: str) -> str:
    result = CliRunner().invoke(cli, ["pools", *words])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.usefixtures("worker")
def test_pools_and_processes_are_told_to_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Postman, "count_messages", lambda _self, agent: len(agent))
    told = json.loads(pools("--json"))
    found = {each.pop("agent"): each for each in told["pools"]}
    billing = found["billing"]
    assert 90 <= billing.pop("oldest_seconds") < 120
    assert billing == {
        "processes": 1,
        "slots": 40,
        "busy_slots": 0,
        "running": 0,
        "queued": 2,
        "put_off": 0,
        "retrying": 0,
        "in_review": 0,
        "messages": 7,
        "paused": False,
    }
    assert found["auto"]["slots"] == 40
    assert found["onboarding"]["paused"]
    assert found["technical_support"]["processes"] == 0
    (process,) = told["processes"]
    assert process.pop("since") <= told["at"]
    assert process == {
        "name": "box:4711",
        "agents": ["billing", "auto"],
        "slots": 40,
        "running": 0,
        "ending": False,
    }


@pytest.mark.usefixtures("url")
def test_a_queue_that_nobody_serves_is_told_with_what_to_do() -> None:
    shown = pools()
    assert "billing: 2 wait and no process serves it" in shown
    assert "`fleetctl worker billing`" in shown
    assert "onboarding (paused)" in shown
    assert "`fleetctl worker onboarding`" not in shown
    assert "The broker is away" in shown
