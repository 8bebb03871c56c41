"""`fleetctl tools` inside this process: what is listed, with servers and without, and switching."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis
from click.testing import Result
from sqlalchemy import Engine
from typer.testing import CliRunner

from fleet_contracts.errors import ConfigurationError, FleetError, TimedOut
from fleet_workers.cli import cli
from fleet_workers.cli.terminal import console
from fleet_workers.resilience.breakers import Breakers
from fleet_workers.resilience.redis_link import open_link
from fleet_workers.store import accounts
from fleet_workers.store.engine import open_engine
from fleet_workers.store.switchboard import Switchboard
from fleet_workers.store.tables import tool_switches
from support.databases import temporary_database
from support.embedded_stack import temporary_servers
from support.graveyard import AGENTS


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with temporary_servers() as servers:
        yield servers.valkey.url(1)


@pytest.fixture(scope="module")
def database() -> Iterator[tuple[str, Engine]]:
    with temporary_database() as url:
        engine = open_engine(url, connections=4, application="tests")
        with engine.begin() as connection:
            accounts.add_tenant(connection, "acme")
        yield url, engine
        engine.dispose()


@pytest.fixture(autouse=True)
def engine(database: tuple[str, Engine], redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Engine:
    url, engine = database
    monkeypatch.setenv("FLEET_STORE_URL", url.replace("+psycopg", ""))
    monkeypatch.setenv("FLEET_REDIS_URL", redis_url)
    monkeypatch.setenv("FLEET_BROKER_URL", "amqp://127.0.0.1:1")
    monkeypatch.setenv("FLEET_AGENTS_PATH", str(AGENTS))
    monkeypatch.setattr(console, "width", 260)
    with engine.begin() as connection:
        connection.execute(tool_switches.delete())
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()
    return engine


@contextmanager
def following(engine: Engine) -> Iterator[Switchboard]:
    """What a worker knows."""
    board = Switchboard(engine)
    board.start()
    yield board
    board.stop()


def tools(*words: str) -> Result:
    return CliRunner().invoke(cli, ["tools", *words])


def refused(*words: str) -> str:
    result = tools(*words)
    assert isinstance(result.exception, FleetError), result.output
    return str(result.exception)


def row(tool: str) -> str:
    """What the list says of a tool of the agent parcels."""
    return next(line for line in tools("list").stdout.splitlines() if f" {tool} " in line)


def test_the_list_shows_approvals_and_what_keeps_a_tool_away(redis_url: str) -> None:
    assert re.search(r"parcels.*track_parcel.*read.*ready", row("track_parcel"))
    refund = row("refund_payment")
    assert re.search(r"billing.*write.*idempotent.*amount_usd > ", refund)
    link = open_link(redis_url)
    breakers = Breakers(failures=1, open_seconds=0.05, link=link)
    with pytest.raises(TimedOut):
        breakers.call("tool track_parcel", fail)
    assert re.search(r"track_parcel.*breaker open", row("track_parcel"))
    link.close()


def fail() -> None:
    raise TimedOut("slow")


def test_a_tool_is_disabled_and_enabled_and_workers_know(engine: Engine) -> None:
    done = tools("disable", "track_parcel", "--reason", "wrong [parcels]")
    assert done.stdout == "track_parcel is disabled: wrong [parcels]\n"
    tools("disable", "track_parcel", "--reason", "asked by acme", "--tenant", "acme")
    with following(engine) as board:
        found = board.disabled("track_parcel", tenant="globex", agent="parcels")
        assert found is not None
        assert found.disabled_by.startswith("fleetctl")
    assert "disabled" in row("track_parcel")
    shown = tools("show", "track_parcel").stdout
    assert "for all tenants since" in shown
    assert "wrong [parcels]" in shown
    enabled = tools("enable", "track_parcel").stdout
    assert "track_parcel is enabled." in enabled
    assert "Still disabled for acme: asked by acme" in enabled
    assert "disabled for acme" in row("track_parcel")
    tools("enable", "track_parcel", "--tenant", "acme")
    assert tools("enable", "track_parcel").stdout == "track_parcel was not disabled.\n"
    assert "ready" in row("track_parcel")


def test_what_cannot_be_meant_is_refused() -> None:
    assert "track_parcel" in refused("disable", "nothing", "--reason", "x")
    assert "nothing" in refused("show", "nothing")
    assert "nothing" in refused("enable", "nothing")
    words = ("disable", "track_parcel", "--reason", "x")
    assert "billing" in refused(*words, "--agent", "billing")
    assert "nobody" in refused(*words, "--agent", "nobody")
    assert "tenants list" in refused(*words, "--tenant", "nobody")
    assert tools("disable", "track_parcel").exit_code == 2


def test_tools_are_listed_without_any_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEET_REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("FLEET_STORE_URL", "postgresql://127.0.0.1:1/none")
    result = tools("list")
    assert result.exit_code == 0
    line = next(each for each in result.stdout.splitlines() if "track_parcel" in each)
    assert line.count("unknown") == 1
    assert "Breakers are unknown" in result.stderr
    assert "Switches are unknown" in result.stderr
    assert not isinstance(result.exception, ConfigurationError)
