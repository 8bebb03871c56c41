"""`fleetctl cache` inside this process, on a real store."""

import re
from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import Engine
from typer.testing import CliRunner

from fleet_contracts.errors import UnknownAgent, UnknownTenant
from fleet_workers.cli import cli
from fleet_workers.store import accounts, plan_cache
from fleet_workers.store.engine import open_engine
from support.databases import temporary_database
from support.fleetctl import see_only_the_store
from support.graveyard import AGENTS


@pytest.fixture(scope="module")
def database() -> Iterator[tuple[str, Engine]]:
    with temporary_database() as url:
        engine = open_engine(url, connections=4, application="tests")
        with engine.begin() as connection:
            for tenant in ("acme", "other"):
                accounts.add_tenant(connection, tenant)
        yield url, engine
        engine.dispose()


@pytest.fixture(autouse=True)
def engine(database: tuple[str, Engine], monkeypatch: pytest.MonkeyPatch) -> Engine:
    url, engine = database
    see_only_the_store(monkeypatch, url, width=220, agents=AGENTS)
    return engine


def test_stored_replies_are_counted_and_become_void_by_tenant_and_agent(engine: Engine) -> None:
    for tenant, agent in (("acme", "billing"), ("acme", "onboarding"), ("other", "billing")):
        with engine.begin() as connection:
            plan_cache.put(
                connection,
                plan_cache.Entry(
                    tenant=tenant,
                    key=uuid4().bytes,
                    agent=agent,
                    release=f"{agent}@v1",
                    data_version=0,
                    reply={},
                    task_id=uuid4(),
                    lifetime=timedelta(hours=1),
                ),
            )
    listed = _fleetctl("cache", "list")
    assert len(re.findall(r"\w+@v1 .*1 .*0 ", listed)) == 3
    assert "other" not in _fleetctl("cache", "list", "--tenant", "acme")

    said = _fleetctl("cache", "invalidate", "--tenant", "acme", "--agent", "billing")
    assert said == "1 stored replies of acme, agent billing are void.\n"
    assert _fleetctl("cache", "invalidate", "--tenant", "acme") == (
        "1 stored replies of acme are void.\n"
    )
    assert len(re.findall("@v1", _fleetctl("cache", "list"))) == 1
    with engine.connect() as connection:
        versions = [
            plan_cache.find(connection, tenant=tenant, agent="billing", key=b"").data_version
            for tenant in ("acme", "other")
        ]
    assert versions == [2, 0]


def test_what_does_not_exist_is_named() -> None:
    run = CliRunner().invoke
    assert isinstance(
        run(cli, ["cache", "invalidate", "--tenant", "nobody"]).exception, UnknownTenant
    )
    wrong = ["cache", "invalidate", "--tenant", "acme", "--agent", "nobody"]
    assert isinstance(run(cli, wrong).exception, UnknownAgent)


def _fleetctl(*words: str) -> str:
    result = CliRunner().invoke(cli, words)
    assert result.exception is None, result.output
    return result.stdout
