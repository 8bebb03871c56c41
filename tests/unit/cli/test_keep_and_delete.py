"""`fleetctl retention` and `fleetctl erase` inside this process, on a real store."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import Result
from sqlalchemy import Engine, text
from typer.testing import CliRunner

from fleet_contracts.errors import FleetError
from fleet_workers.cli import cli
from fleet_workers.store.engine import open_engine
from support.databases import empty_tables, temporary_database
from support.ended_tasks import Ended, write_ended
from support.fleetctl import see_only_the_store
from support.leftovers import rows_with


@pytest.fixture(scope="module")
def database() -> Iterator[tuple[str, Engine]]:
    with temporary_database() as url:
        engine = open_engine(url, connections=4, application="tests")
        yield url, engine
        engine.dispose()


@pytest.fixture(autouse=True)
def engine(database: tuple[str, Engine], monkeypatch: pytest.MonkeyPatch) -> Engine:
    url, engine = database
    see_only_the_store(monkeypatch, url, width=220)
    with engine.begin() as connection:
        empty_tables(connection)
        connection.execute(text("INSERT INTO tenants (name) VALUES ('acme')"))
    write_ended(engine, [Ended(ago=timedelta(days=days), words="I am Zoe.") for days in (400, 20)])
    with engine.begin() as connection:
        connection.execute(text("UPDATE tasks SET customer = 'Zoe'"))
    return engine


def fleetctl(*words: str) -> Result:
    return CliRunner().invoke(cli, words)


def refused(*words: str) -> str:
    result = fleetctl(*words)
    assert isinstance(result.exception, FleetError), result.output
    return str(result.exception)


def desk(monkeypatch: pytest.MonkeyPatch, folder: Path, content: str) -> None:
    (folder / "desk.toml").write_text(content)
    monkeypatch.setenv("FLEET_DESK", str(folder / "desk.toml"))


def test_the_policy_and_the_sizes_are_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    content = '[retention]\nresults = "always"\n[retention.tenants.acme]\njournal = 7\n'
    desk(monkeypatch, tmp_path, content)
    shown = fleetctl("retention", "show").stdout
    assert re.search(r"journal +│ 90 days +│ acme 7 days", shown), shown
    assert re.search(r"results +│ always +│ ", shown)
    assert re.search(r"│ tasks +│ results +│", shown)


def test_a_dry_run_deletes_nothing_and_a_run_does(engine: Engine) -> None:
    counted = fleetctl("retention", "run", "--dry-run").stdout
    assert re.search(r"│ tasks +│ results +│ 1 ", counted), counted
    assert rows_with(engine, "I am Zoe")["tasks"] == 2
    assert "tasks: 1 rows deleted" in fleetctl("retention", "run").stdout
    assert rows_with(engine, "I am Zoe")["tasks"] == 1
    assert "Nothing is older" in fleetctl("retention", "run").stdout


def test_a_clock_that_leapt_is_confirmed_once(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO chore_marks VALUES ('retention', now() - interval '1 year')")
        )
    assert "--clock-is-right" in refused("retention", "run")
    assert "tasks: 1 rows" in fleetctl("retention", "run", "--clock-is-right").stdout


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[retention]\njournal = 400\n", "make journal \\(400\\) at most as long as results"),
        ("[retention]\njournal = 0\n", "retention.journal"),
        ("[retention]\njurnal = 9\n", "retention.jurnal"),
        ("[retention.tenants.acme]\naudit = 9\n", "audit"),
        ('[retention]\njournal = "always"\n', "make journal \\(always\\)"),
        ("[retention.tenants.acme]\nresults = 30\n", "tenants.acme"),
    ],
)
def test_a_wrong_policy_names_the_field(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str, said: str
) -> None:
    desk(monkeypatch, tmp_path, content)
    assert re.search(said, refused("retention", "run"))


def test_a_customer_is_counted_erased_and_told(engine: Engine) -> None:
    words = ("erase", "--tenant", "acme", "--customer", "Zoe")
    counted = fleetctl(*words, "--dry-run").stdout
    assert "2 tasks, 0 of them open. Nothing was changed." in counted
    assert rows_with(engine, "Zoe")
    first = fleetctl(*words).stdout
    assert "done at" in first, first
    assert "stays: the audit trail" in first
    assert rows_with(engine, "Zoe") == {}
    assert "done at" in fleetctl(*words).stdout
    receipt = re.search(r"erasure (\S{36}) for", first)
    assert receipt is not None
    assert "done at" in fleetctl("erase", "--receipt", receipt[1]).stdout


def test_open_tasks_are_told_and_cancelled_on_demand(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE tasks SET state = 'in_review', finished_at = NULL"))
    words = ("erase", "--tenant", "acme", "--customer", "Zoe")
    assert "2 tasks of this customer are open" in refused(*words)
    told = fleetctl(*words, "--cancel-open").stdout
    assert "2 open tasks were cancelled for it." in told
    assert "not done: some tasks ended only just now" in told


def test_what_is_wrong_with_a_request_is_told() -> None:
    assert "No tenant is called 'acne'" in refused("erase", "--tenant", "acne", "--customer", "z")
    assert "Name --tenant and --customer" in refused("erase", "--tenant", "acme")
    unknown = "0193b6e2-0000-7000-8000-000000000000"
    assert "is known" in refused("erase", "--receipt", unknown)
