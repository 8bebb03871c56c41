"""Settings are read once and explained when they are wrong."""

from datetime import timedelta
from pathlib import Path

import pytest

from fleet_contracts.errors import ConfigurationError
from fleet_workers.settings import load_settings


def test_durations_are_seconds_or_iso(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEET_STOP_GRACE", "75")
    monkeypatch.setenv("FLEET_LEASE", "PT20S")
    settings = load_settings()
    assert (settings.stop_grace, settings.lease) == (timedelta(seconds=75), timedelta(seconds=20))


def test_paths_are_split_and_urls_get_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEET_AGENTS_PATH", "/a:/b c")
    monkeypatch.setenv("FLEET_STORE_URL", "postgresql://u:p@host/db")
    settings = load_settings()
    assert settings.agents_path == (Path("/a"), Path("/b c"))
    assert settings.sqlalchemy_url == "postgresql+psycopg://u:p@host/db"


def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEET_SLOTS", "many")
    monkeypatch.setenv("FLEET_LEASE", "soon")
    with pytest.raises(ConfigurationError, match=r"slots.*lease"):
        load_settings()
