"""`fleetctl quality` inside this process, on a real store."""

import re
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from click.testing import Result
from sqlalchemy import Engine, func, update
from typer.testing import CliRunner

from fleet_contracts.errors import FleetError
from fleet_workers.agents import load_catalogue
from fleet_workers.cli import cli
from fleet_workers.cli.terminal import console
from fleet_workers.desk_file import SamplingSection
from fleet_workers.janitor.sample import QualityClerk
from fleet_workers.store import accounts
from fleet_workers.store.desk_tables import chore_marks
from fleet_workers.store.engine import open_engine
from support.databases import temporary_database
from support.ended_tasks import Ended, write_ended


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with temporary_database() as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLEET_STORE_URL", url.replace("+psycopg", ""))
        patch.setenv("FLEET_REDIS_URL", "redis://127.0.0.1:1/0")
        patch.setenv("FLEET_BROKER_URL", "amqp://127.0.0.1:1")
        patch.setattr(console, "width", 220)
        engine = open_engine(url, connections=4, application="tests")
        with engine.begin() as connection:
            accounts.add_tenant(connection, "acme")
        yield engine
        engine.dispose()


def fleetctl(*words: str) -> Result:
    return CliRunner().invoke(cli, ["quality", *words])


def lines(result: Result) -> list[str]:
    assert result.exception is None, result.output
    return [re.sub(r"[\s│┃]+", " ", line).strip() for line in result.stdout.splitlines()]


def test_the_figures_are_printed(engine: Engine) -> None:
    assert "Nothing has ended" in fleetctl().stdout
    clerk = QualityClerk(
        engine, catalogue=load_catalogue(), section=SamplingSection(), send=lambda _: None
    )
    clerk.work()
    with engine.begin() as connection:
        past = func.now() - timedelta(days=2)
        connection.execute(update(chore_marks).values(at=past, id=UUID(int=0)))
    mine = [Ended(took=timedelta(seconds=2), cost_usd=Decimal("0.5")) for _ in range(3)]
    write_ended(engine, [*mine, Ended(reviewed=True), Ended(tenant="globex")])
    clerk.work()
    printed = lines(fleetctl("--tenant", "acme", "--days", "7"))
    assert any(
        re.match(r"all 4 3 1 25.0% [12.]+\d* s [12.]+\d* s 1.502 USD", each) for each in printed
    )
    assert "billing 0 0 too few (under 10)" in printed
    assert "feedback: 0 good, 0 not good, 0 flagged" in printed
    assert any(each.startswith("all 5 4 1 20.0%") for each in lines(fleetctl()))
    assert any(each.startswith("all 0 0 too few") for each in lines(fleetctl("--agent", "other")))


def test_what_is_not_kept_is_refused(engine: Engine) -> None:
    for words, said in (
        (("--days", "8"), "7, 30 or 90 days"),
        (("--tenant", "nobody"), "No tenant is called 'nobody'"),
    ):
        result = fleetctl(*words)
        assert isinstance(result.exception, FleetError)
        assert said in str(result.exception)
