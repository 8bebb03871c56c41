"""`fleetctl schedules` inside this process, on a real store."""

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from click.testing import Result
from sqlalchemy import Engine
from typer.testing import CliRunner

from fleet_contracts.errors import FleetError
from fleet_workers.cli import cli
from fleet_workers.store import accounts, views
from fleet_workers.store.engine import open_engine
from support.databases import empty_tables, temporary_database
from support.fleetctl import see_only_the_store
from support.graveyard import AGENTS


@pytest.fixture(scope="module")
def database() -> Iterator[tuple[str, Engine]]:
    with temporary_database() as url:
        engine = open_engine(url, connections=4, application="tests")
        yield url, engine
        engine.dispose()


@pytest.fixture(autouse=True)
def engine(database: tuple[str, Engine], monkeypatch: pytest.MonkeyPatch) -> Engine:
    url, engine = database
    with engine.begin() as connection:
        empty_tables(connection)
        for tenant in ("acme", "globex"):
            accounts.add_tenant(connection, tenant)
    see_only_the_store(monkeypatch, url, width=250, agents=AGENTS)
    return engine


def fleetctl(*words: str) -> Result:
    return CliRunner().invoke(cli, ("schedules", *words))


def refused(*words: str) -> str:
    result = fleetctl(*words)
    assert isinstance(result.exception, FleetError), result.output
    return str(result.exception)


def add(name: str, *more: str, tenant: str = "acme") -> Result:
    words = (name, "--tenant", tenant, "--cron", "30 8 * * MON", "--zone", "Europe/Berlin")
    return fleetctl("add", *words, *more)


def test_a_schedule_is_added_listed_switched_and_removed() -> None:
    said = add("figures", "--text", "Send the [weekly] figures.", "--agent", "billing").stdout
    assert said.startswith("figures is added. It comes next at ")
    listed = fleetctl("list").stdout
    assert all(word in listed for word in ("figures", "acme", "billing", "30 8 * * MON", "once"))
    assert fleetctl("disable", "figures").stdout == (
        "figures is disabled. It does not come until it is enabled.\n"
    )
    assert "disabled" in fleetctl("list").stdout
    assert fleetctl("next", "figures").stdout.startswith("It is disabled.")
    assert "It comes next at" in fleetctl("enable", "figures").stdout
    lines = fleetctl("next", "figures", "--count", "3").stdout.splitlines()
    assert len(lines) == 3
    assert all("T08:30:00+0" in line and "+00:00" in line for line in lines)
    assert fleetctl("remove", "figures").stdout == "figures of acme is removed.\n"
    assert "No schedule 'figures'" in refused("remove", "figures")


def test_a_run_by_hand_prints_the_tasks_id(engine: Engine, tmp_path: Path) -> None:
    file = tmp_path / "task.json"
    file.write_text(json.dumps({"agent": "billing", "input": "x", "metadata": {"team": "a"}}))
    assert add("figures", "--file", str(file), "--data", '{"n": 1}').exit_code == 0
    task_id = UUID(fleetctl("run", "figures").stdout.strip())
    with engine.begin() as connection:
        envelope = views.envelope_of(connection, task_id)
    assert envelope is not None
    assert (envelope["agent"], envelope["data"]) == ("billing", {"n": 1})
    assert envelope["metadata"]["team"] == "a"


def test_where_several_tenants_have_the_name_one_is_named() -> None:
    for tenant in ("acme", "globex"):
        add("figures", "--text", "x", tenant=tenant)
    assert "name the tenant" in refused("remove", "figures")
    assert "of globex" in fleetctl("remove", "figures", "--tenant", "globex").stdout


def test_what_is_wrong_is_told_with_a_remedy(tmp_path: Path) -> None:
    assert "five fields" in refused("add", "x", "--tenant", "acme", "--cron", "soon", "--text", "x")
    assert "tenants list" in str(add("x", "--text", "x", tenant="nobody").exception)
    assert "nobody" in str(add("x", "--text", "x", "--agent", "nobody").exception)
    assert "input is missing" in str(add("x").exception)
    assert "no JSON" in str(add("x", "--text", "x", "--data", "{").exception)
    assert "cannot be read" in str(add("x", "--file", str(tmp_path)).exception)
    add("figures", "--text", "x")
    assert "called 'figures'" in str(add("figures", "--text", "x").exception)
