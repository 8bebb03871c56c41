"""`fleetctl rights` and `fleetctl spend` inside this process, on a real store."""

import re
from collections.abc import Iterator
from decimal import Decimal
from uuid import uuid4

import pytest
from click.testing import Result
from sqlalchemy import Engine
from typer.testing import CliRunner

from fleet_contracts.errors import FleetError
from fleet_workers.cli import cli
from fleet_workers.store import accounts, spend
from fleet_workers.store.engine import open_engine
from fleet_workers.store.spend import Expense
from support.databases import temporary_database
from support.fleetctl import see_only_the_store


@pytest.fixture(scope="module")
def database() -> Iterator[tuple[str, Engine]]:
    with temporary_database() as url:
        engine = open_engine(url, connections=4, application="tests")
        with engine.begin() as connection:
            accounts.add_tenant(connection, "acme")
        yield url, engine
        engine.dispose()


@pytest.fixture(autouse=True)
def engine(database: tuple[str, Engine], monkeypatch: pytest.MonkeyPatch) -> Engine:
    url, engine = database
    see_only_the_store(monkeypatch, url, width=220)
    return engine


def fleetctl(*words: str) -> Result:
    return CliRunner().invoke(cli, words)


def refused(*words: str) -> str:
    result = fleetctl(*words)
    assert isinstance(result.exception, FleetError), result.output
    return str(result.exception)


def test_a_right_is_withheld_listed_and_restored() -> None:
    words = ("rights", "withhold", "track_parcel", "--tenant", "acme", "--reason")
    assert fleetctl(*words, "not [yet]").stdout == (
        "track_parcel is withheld for acme: not [yet]\n"
    )
    fleetctl(*words, "asked to", "--customer", "c1")
    listed = fleetctl("rights", "list", "--tenant", "acme").stdout
    assert re.search(r"track_parcel.*acme.*\*.*fleetctl.*not \[yet\]", listed)
    assert re.search(r"track_parcel.*acme.*c1.*asked to", listed)
    given = fleetctl("rights", "restore", "track_parcel", "--tenant", "acme").stdout
    assert given.splitlines() == [
        "track_parcel is restored for acme.",
        "Still withheld for acme, customer c1: asked to",
    ]
    again = fleetctl("rights", "restore", "track_parcel", "--tenant", "acme").stdout
    assert "was not withheld" in again


def test_names_that_nobody_has_are_refused_with_those_that_exist() -> None:
    to_acme = ("--tenant", "acme", "--reason", "x")
    assert "track_parcel" in refused("rights", "withhold", "nothing", *to_acme)
    nobody = ("--tenant", "nobody", "--reason", "x")
    assert "tenants list" in refused("rights", "withhold", "track_parcel", *nobody)
    assert "nothing" in refused("rights", "restore", "nothing", "--tenant", "acme")
    assert "nobody" in refused("rights", "restore", "track_parcel", "--tenant", "nobody")
    assert "nobody" in refused("rights", "list", "--tenant", "nobody")
    assert "nobody" in refused("spend", "--tenant", "nobody")
    assert "yesterday" in refused("spend", "--since", "yesterday")


def test_spending_is_printed_by_day_tenant_and_agent(engine: Engine) -> None:
    for amount, kind in (("40.5", "moved"), ("0.0031", "cost")):
        expense = Expense(
            key="k",
            kind=kind,  # type: ignore[arg-type]
            task_id=uuid4(),
            tenant="acme",
            agent="billing",
            customer=None,
            purpose="refund",
            amount_usd=Decimal(amount),
        )
        with engine.begin() as connection:
            spend.reserve(connection, [expense])
    with engine.begin() as connection:
        spend.settle(connection, "k")
    shown = fleetctl("spend", "--tenant", "acme", "--since", "1d").stdout
    assert re.search(r"acme.*billing.* 40\.50 USD.* 0\.0031 USD.* 0\.00 USD.* 2 ", shown)
    assert "billing" not in fleetctl("spend", "--since", "2999-01-01").stdout
