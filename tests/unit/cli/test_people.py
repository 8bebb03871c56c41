"""`fleetctl people` and `fleetctl keys` inside this process, on a real store."""

import re
from collections.abc import Iterator
from uuid import uuid4

import pytest
from click.testing import Result
from sqlalchemy import Engine
from typer.testing import CliRunner

from fleet_contracts.errors import FleetError
from fleet_workers.cli import cli
from fleet_workers.store import accounts, people
from fleet_workers.store.desk_tables import people as people_table
from fleet_workers.store.engine import open_engine
from fleet_workers.store.tables import api_keys
from fleet_workers.web.passwords import is_right
from support.databases import temporary_database
from support.fleetctl import see_only_the_store

PASSWORD = "correct horse battery"
EMAIL = "ann@example.com"


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
    see_only_the_store(monkeypatch, url, width=260)
    with engine.begin() as connection:
        connection.execute(people_table.delete())
        connection.execute(api_keys.delete())
    return engine


def fleetctl(*words: str, typed: str = "") -> Result:
    return CliRunner().invoke(cli, words, input=typed)


def done(*words: str, typed: str = "") -> str:
    result = fleetctl(*words, typed=typed)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def refused(*words: str, typed: str = "") -> str:
    result = fleetctl(*words, typed=typed)
    assert isinstance(result.exception, FleetError), result.output
    return str(result.exception)


def add(*words: str) -> str:
    return done("people", "add", EMAIL, "--tenant", "acme", *words, typed=f"{PASSWORD}\n")


def opens(engine: Engine, password: str) -> bool:
    with engine.begin() as connection:
        found = people.by_email(connection, EMAIL)
    assert found is not None
    return is_right(password, found[1])


def test_a_person_is_added_with_a_password_from_a_pipe(engine: Engine) -> None:
    shown = add("--role", "reviewer", "--group", "eu", "--group", "vip", "--skill", "refunds")
    assert shown == "ann@example.com may sign in as reviewer of acme.\n"
    assert PASSWORD not in shown
    assert opens(engine, PASSWORD)
    listed = done("people", "list", "--tenant", "acme")
    assert re.search(r"ann@example.com.*acme.*reviewer.*eu, vip.*refunds.*password", listed)


def test_a_password_is_made_and_printed_once(engine: Engine) -> None:
    shown = done("people", "add", EMAIL, "--tenant", "*", "--role", "admin", "--generate")
    password = shown.splitlines()[-1].removeprefix("Password, shown this once: ")
    assert len(password) >= 20
    assert opens(engine, password)
    again = done("people", "set-password", "ANN@example.com", "--generate")
    assert not opens(engine, password)
    assert opens(engine, again.splitlines()[-1].removeprefix("Password, shown this once: "))


def test_a_person_is_changed_disabled_and_enabled() -> None:
    add("--group", "eu")
    shown = done("people", "change", EMAIL, "--role", "operator", "--new-email", "Bob@Example.com")
    assert shown == "bob@example.com is operator of acme.\n"
    assert re.search(r"bob@example.com.*operator.*eu", done("people", "list"))
    done("people", "change", "bob@example.com", "--all-groups")
    assert re.search(r"bob@example.com.*operator.*all", done("people", "list"))
    done("people", "disable", "bob@example.com")
    assert re.search(r"bob@example.com.*20\d\d-", done("people", "list"))
    done("people", "enable", "bob@example.com")
    assert not re.search(r"bob@example.com.*20\d\d-", done("people", "list"))


def test_what_does_not_fit_is_refused_with_the_remedy() -> None:
    add()
    new = ("people", "add", "bob@example.com", "--tenant")
    assert "people" in refused("people", "disable", "nobody@example.com")
    assert "choose another" in refused("people", "add", EMAIL, "--tenant", "acme", "--generate")
    assert "add it first" in refused(*new, "nobody", "--generate")
    assert "12 to 1,000" in refused(*new, "acme", typed="short\n")
    assert "12 to 1,000" in refused(*new, "acme", typed="")
    assert "viewer" in refused(*new, "acme", "--role", "producer", "--generate")
    assert "small letters" in refused(*new, "acme", "--group", "With Space", "--generate")
    assert "not both" in refused("people", "change", EMAIL, "--group", "a", "--all-groups")


def test_a_key_is_made_listed_and_revoked(engine: Engine) -> None:
    words = ("--tenant", "acme", "--role", "operator", "--label", "nightly [1]")
    key = done("keys", "create", *words, "--right", "submit", "--days", "30").strip()
    with engine.begin() as connection:
        holder = accounts.holder_of(connection, key)
    assert holder is not None
    assert holder.rights == {"submit"}
    listed = done("keys", "list", "--tenant", "acme")
    assert re.search(
        rf"{holder.id}.*nightly \[1\].*acme.*operator.*submit.*20\d\d-.*20\d\d-", listed
    )
    assert key not in listed
    assert done("keys", "revoke", str(holder.id)) == "1 key revoked.\n"
    assert done("keys", "revoke", str(holder.id)) == "0 keys revoked.\n"
    assert str(holder.id) not in done("keys", "list")
    assert str(holder.id) in done("keys", "list", "--revoked")
    with engine.begin() as connection:
        assert accounts.holder_of(connection, key) is None


def test_keys_are_revoked_by_label_or_by_id_and_not_by_both() -> None:
    for _ in range(2):
        done("keys", "create", "--tenant", "*", "--label", "old")
    assert done("keys", "revoke", "--label", "old") == "2 keys revoked.\n"
    assert "keys list" in refused("keys", "revoke")
    assert "keys list" in refused("keys", "revoke", str(uuid4()), "--label", "old")
    assert "list the keys" in refused("keys", "revoke", str(uuid4()))


def test_a_right_that_the_role_lacks_is_refused() -> None:
    words = ("keys", "create", "--tenant", "acme", "--role", "viewer", "--right", "decide")
    assert "read_desk, read_tasks" in refused(*words)
