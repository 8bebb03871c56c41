"""An agent whose tools come from a small MCP server or an OpenAPI document."""

import contextlib
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fleet_workers.agents.manifest import load_manifest
from fleet_workers.testing import close_servers
from fleet_workers.tools.importers.fetch import ImportChange, fetch_imports
from support.ports import free_port

SUPPORT = Path(__file__).parents[3] / "support"

HEAD = """
name = "shop"
title = "Shop"
description = "Orders of a shop."
environment = {variables}
[scope]
handles = ["orders of all kinds"]
never = ["anything else"]
"""


class ShopAgent:
    """An agent's folder that is written and imported as a test goes on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notes = folder.parent / "notes"
        self.manners = folder.parent / "manners"
        self.variables = {"SHOP_NOTES": str(self.notes), "SHOP_MANNERS": str(self.manners)}
        (folder / "prompts").mkdir(parents=True)
        (folder / "prompts" / "v1.md").write_text("You help.")
        shutil.copy(SUPPORT / "mcp_shop" / "shop_server.py", folder)

    def write(self, sections: str, **variables: str) -> None:
        self.variables |= variables
        head = HEAD.format(variables=sorted(self.variables)).replace("'", '"')
        (self.folder / "agent.toml").write_text(head + sections)

    def fetch(self) -> list[ImportChange]:
        return fetch_imports(self.folder, load_manifest(self.folder).imports, self.variables)

    def noted(self) -> list[str]:
        return self.notes.read_text().splitlines() if self.notes.exists() else []


@pytest.fixture
def shop(tmp_path: Path) -> ShopAgent:
    return ShopAgent(tmp_path / "shop")


@pytest.fixture(autouse=True)
def _servers_end() -> Iterator[None]:
    yield
    close_servers()


ServeHttp = Callable[[ShopAgent, int | None], contextlib.AbstractContextManager[tuple[str, int]]]


@contextlib.contextmanager
def http_shop(shop: ShopAgent, port: int | None = None) -> Iterator[tuple[str, int]]:
    """Run the server over HTTP; gives its address and port."""
    port = port or free_port()
    server = subprocess.Popen(
        [sys.executable, "shop_server.py", str(port)],
        cwd=shop.folder,
        env={"PATH": "/usr/bin", **shop.variables},
        stderr=subprocess.DEVNULL,
    )
    try:
        _await_port(port)
        yield f"http://127.0.0.1:{port}/mcp", port
    finally:
        server.kill()
        server.wait()


@pytest.fixture
def serve_http() -> ServeHttp:
    return http_shop


def _await_port(port: int) -> None:
    ends_at = time.monotonic() + 20
    while time.monotonic() < ends_at:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise TimeoutError(f"nothing listens on {port}")
