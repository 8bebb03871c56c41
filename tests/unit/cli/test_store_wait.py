"""`fleetctl db wait`: what processes that start beside a migration do first."""

import threading

import pytest
from typer.testing import CliRunner

from fleet_contracts.errors import ConfigurationError, Unavailable
from fleet_workers.cli import cli
from fleet_workers.store import migrate
from support.databases import temporary_database


def test_it_waits_for_the_migration(monkeypatch: pytest.MonkeyPatch) -> None:
    with temporary_database(migrated=False) as url:
        monkeypatch.setenv("FLEET_STORE_URL", url.replace("+psycopg", ""))
        given_up = CliRunner().invoke(cli, ["db", "wait", "--seconds", "0"])
        assert isinstance(given_up.exception, ConfigurationError)
        assert "fleetctl db upgrade" in str(given_up.exception)
        later = threading.Timer(0.5, migrate.upgrade, [url])
        later.start()
        waited = CliRunner().invoke(cli, ["db", "wait", "--seconds", "60"])
        later.join()
        assert waited.exit_code == 0, waited.output
        assert "The store is ready." in waited.output


def test_it_waits_no_longer_than_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEET_STORE_URL", "postgresql://postgres@127.0.0.1:1/none")
    given_up = CliRunner().invoke(cli, ["db", "wait", "--seconds", "0"])
    assert isinstance(given_up.exception, Unavailable)
