"""`fleetctl agents import`."""

from typing import Any

import pytest
from typer.testing import CliRunner

from fleet_contracts.errors import ConfigurationError, UnknownAgent
from fleet_workers.cli import cli

SECTIONS = """
[imports.orders]
mcp = { command = ["python", "shop_server.py"] }
include = ["find_order"]
"""


def test_an_operator_sees_what_a_model_will_read_and_what_has_changed(
    shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.write(SECTIONS)
    for name, value in shop.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("FLEET_AGENTS_PATH", str(shop.folder.parent))
    first = CliRunner().invoke(cli, ["agents", "import", "shop"])
    assert first.exit_code == 0, first.output
    assert "new" in first.output
    assert "Look an order up." in first.output
    shop.manners.write_text("changed")
    second = CliRunner().invoke(cli, ["agents", "import", "shop"])
    assert "changed" in second.output
    assert "mallory" in second.output


def test_an_agent_that_is_not_there_or_imports_nothing_is_told(
    shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.write("")
    monkeypatch.setenv("FLEET_AGENTS_PATH", str(shop.folder.parent))
    missing = CliRunner().invoke(cli, ["agents", "import", "stop"])
    assert isinstance(missing.exception, UnknownAgent)
    nothing = CliRunner().invoke(cli, ["agents", "import", "shop"])
    assert isinstance(nothing.exception, ConfigurationError)
    assert "has no section [imports.NAME]" in str(nothing.exception)
