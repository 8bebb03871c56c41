"""`fleetctl limits` inside this process, on a real store: as the how-to page types it."""

import re
from collections.abc import Iterator

import pytest
from click.testing import Result
from sqlalchemy import Engine, text
from typer.testing import CliRunner

from fleet_contracts.errors import FleetError
from fleet_workers.cli import cli
from fleet_workers.store import accounts
from fleet_workers.store.engine import open_engine
from support.databases import temporary_database
from support.fleetctl import see_only_the_store
from support.graveyard import AGENTS


@pytest.fixture(scope="module")
def database() -> Iterator[tuple[str, Engine]]:
    with temporary_database() as url:
        engine = open_engine(url, connections=4, application="tests")
        with engine.begin() as connection:
            for tenant in ("acme", "globex"):
                accounts.add_tenant(connection, tenant)
        yield url, engine
        engine.dispose()


@pytest.fixture(autouse=True)
def engine(database: tuple[str, Engine], monkeypatch: pytest.MonkeyPatch) -> Engine:
    url, engine = database
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM limits"))
    see_only_the_store(monkeypatch, url, width=220, agents=AGENTS)
    return engine


def fleetctl(*words: str) -> Result:
    return CliRunner().invoke(cli, ("limits", *words))


def said(*words: str) -> str:
    result = fleetctl(*words)
    assert result.exception is None, result.exception
    return result.stdout


def refused(*words: str) -> str:
    result = fleetctl(*words)
    assert isinstance(result.exception, FleetError), result.output
    return str(result.exception)


def test_limits_are_set_listed_changed_and_cleared(engine: Engine) -> None:
    assert said("set", "--tenant", "acme", "--concurrency", "20") == (
        "Tenant acme: at most 20 at once.\n"
    )
    assert said("set", "--agent", "billing", "--rate", "10/second") == (
        "All tenants, agent billing: at most 10 starts in 1 s.\n"
    )
    both = ("--tenant", "acme", "--agent", "billing")
    assert said("set", *both, "--concurrency", "5", "--rate", "100/minute") == (
        "Tenant acme, agent billing: at most 5 at once, at most 100 starts in 60 s.\n"
    )
    # What is not named stays as it is.
    assert said("set", *both, "--concurrency", "6") == (
        "Tenant acme, agent billing: at most 6 at once, at most 100 starts in 60 s.\n"
    )
    assert said("set", "--tenant", "globex", "--weight", "3") == "Tenant globex: weight 3.\n"
    listed = said("list")
    for row in (
        r"acme +\* +20 +- +-",
        r"\* +billing +- +10 in 1 s +-",
        r"acme +billing +6 +100 in 60 s",
        r"globex +\* +- +- +3",
    ):
        assert re.search(row, listed.replace("│", " ")), (row, listed)
    assert said("clear", *both) == "Tenant acme, agent billing: not limited any more.\n"
    assert said("clear", *both) == "Tenant acme, agent billing: was not limited.\n"
    assert "100 in 60 s" not in said("list")
    with engine.connect() as connection:
        told = connection.execute(
            text("SELECT what FROM audit_inbox WHERE kind = 'limit' ORDER BY id")
        ).scalars()
        assert list(told) == ["set", "set", "set", "set", "set", "cleared"]


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (("--tenant", "acme"), "Name a concurrency, a rate or a weight."),
        (("--tenant", "nobody", "--weight", "2"), "fleetctl tenants list"),
        (("--agent", "nobody", "--concurrency", "2"), "nobody"),
        (("--tenant", "acme", "--concurrency", "0"), "to stop tasks, pause them"),
        (("--tenant", "acme", "--rate", "fast"), "10/second"),
        (("--agent", "billing", "--weight", "2"), "name a tenant and no agent"),
        (("--tenant", "acme", "--weight", "0"), "over 0"),
    ],
)
def test_what_cannot_be_limited_is_refused_with_the_remedy(
    words: tuple[str, ...], remedy: str
) -> None:
    assert remedy in refused("set", *words)
    assert "acme" not in said("list")
