"""Where the client finds the fleet."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fleet_client import FleetClient
from fleet_client.settings import read_settings
from fleet_contracts.errors import ConfigurationError

_WRITTEN = {"api_url": "http://127.0.0.1:8000", "api_key": "local", "broker_url": "redis://h/0"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "client.json"
    path.write_text(json.dumps(_WRITTEN))
    return path


def test_the_local_fleet_serves_where_no_address_is_set(file: Path) -> None:
    found = read_settings({"FLEET_TENANT": "acme"}, file=file)
    assert (found.api_url, found.broker_url, found.api_key, found.tenant) == (
        "http://127.0.0.1:8000",
        "redis://h/0",
        "local",
        "acme",
    )


def test_the_local_key_never_travels_to_another_address(file: Path) -> None:
    found = read_settings({"FLEET_API_URL": "https://fleet.example"}, file=file)
    assert (found.api_url, found.api_key, found.broker_url) == ("https://fleet.example", None, None)


def test_nothing_set_names_all_remedies(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"FLEET_API_URL.*FLEET_BROKER_URL.*make run"):
        read_settings({}, file=tmp_path / "missing.json")


@pytest.mark.parametrize("content", ["", "[]", "{", "\x00", '{"api_url": 5}'])
def test_a_broken_file_is_a_clear_error(tmp_path: Path, content: str) -> None:
    path = tmp_path / "client.json"
    path.write_text(content)
    with pytest.raises(ConfigurationError):
        read_settings({}, file=path)


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://x", "http://", "http://[", "http://h:x"])
def test_an_address_without_form_is_refused_at_once(url: str) -> None:
    with pytest.raises(ConfigurationError, match="api_url"):
        FleetClient(api_url=url)


def test_a_key_with_a_line_break_is_refused_without_being_shown() -> None:
    with pytest.raises(ConfigurationError, match="copy it again") as caught:
        FleetClient(api_url="http://h", api_key="secret\nx")
    assert "secret" not in str(caught.value)


def test_importing_the_client_loads_neither_kombu_nor_httpx2_nor_typer() -> None:
    heavy = ["kombu", "amqp", "httpx2", "typer", "redis", "celery", "sqlalchemy", "fleet_workers"]
    code = f"import sys, fleet_client; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
