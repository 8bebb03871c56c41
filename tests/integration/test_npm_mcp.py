"""Tools of an MCP server that others wrote, in another language, over both of its transports."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import psutil
import pytest

from fleet_contracts.errors import InDoubt, TimedOut, Unavailable
from fleet_workers.agents.manifest import load_manifest
from fleet_workers.testing import call_tool, close_servers
from fleet_workers.tools.importers.fetch import fetch_imports
from fleet_workers.tools.importers.load import load_imports
from support.ports import free_port

PACKAGE = "@modelcontextprotocol/server-everything"
VERSION = "2026.8.31"
INSTALL_SECONDS = 20
START_SECONDS = 20

MANIFEST = """
name = "everything"
title = "Everything"
description = "Tries out what a server can do."
environment = ["EVERYTHING_URL"]
[scope]
handles = ["requests of all kinds"]
never = ["anything else"]
[imports.everything]
mcp = {{ {source} }}
[imports.everything.include]
echo = "echo"
add = "get-sum"
weather = "get-structured-content"
image = "get-tiny-image"
links = "get-resource-links"
slow_read = "trigger-long-running-operation"
short_read = "trigger-long-running-operation"
slow_write = "trigger-long-running-operation"
[promises]
echo = {{ effect = "read" }}
add = {{ effect = "read" }}
weather = {{ effect = "read" }}
image = {{ effect = "read" }}
links = {{ effect = "read" }}
slow_read = {{ effect = "read" }}
short_read = {{ effect = "read", timeout_seconds = 0.3 }}
"""


class Everything:
    """An agent that has imported the server's tools, and the server's processes."""

    def __init__(self, folder: Path, program: Path, *, over_http: bool) -> None:
        self.is_over_http = over_http
        self._program = program
        self._port = free_port() if over_http else None
        self._served: subprocess.Popen[bytes] | None = None
        self.variables = {"EVERYTHING_URL": f"http://127.0.0.1:{self._port}/mcp"}
        source = 'url_variable = "EVERYTHING_URL"'
        if not over_http:
            source = f"command = {json.dumps(['node', str(program), 'stdio'])}"
        self.folder = folder
        (folder / "prompts").mkdir(parents=True)
        (folder / "prompts" / "v1.md").write_text("You help.")
        (folder / "agent.toml").write_text(MANIFEST.format(source=source))

    def load(self) -> None:
        manifest = load_manifest(self.folder)
        self.changes = fetch_imports(self.folder, manifest.imports, self.variables)
        found = load_imports(self.folder, manifest.imports, manifest.promises)
        self.tools = {each.name: each for each in found}

    def call(self, name: str, /, **given: Any) -> Any:
        return call_tool(self.tools[name], environment=self.variables, **given)

    def start(self) -> None:
        """Run the server where it does not come with the call, which is over HTTP."""
        if self._port is None:
            return
        self._served = subprocess.Popen(
            ["node", self._program, "streamableHttp"],
            env={"PATH": os.environ["PATH"], "PORT": str(self._port)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        ends_at = time.monotonic() + START_SECONDS
        while time.monotonic() < ends_at and self._served.poll() is None:
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self._port), 1),
            ):
                return
            time.sleep(0.05)
        raise AssertionError(f"{PACKAGE} does not listen")

    def kill(self) -> None:
        running = self.running()
        for each in running:
            each.kill()
        if self._served is not None:
            self._served.wait()
        psutil.wait_procs(running, timeout=5)

    def running(self) -> list[psutil.Process]:
        found = []
        # All processes: one that had outlived its session would be nobody's child.
        for each in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if each.cmdline()[:2] == ["node", str(self._program)]:
                    found.append(each)
        return found


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The installed server; a registry that fails is no failure of the fleet."""
    for needed in ("node", "npm"):
        if shutil.which(needed) is None:
            pytest.skip(f"{needed} is not installed: {PACKAGE} needs it.")
    folder = tmp_path_factory.mktemp("npm")
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline"]
    command += ["--fetch-retries=0", "--prefix", str(folder), f"{PACKAGE}@{VERSION}"]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, timeout=INSTALL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm did not install {PACKAGE} in {INSTALL_SECONDS} s.")
    if done.returncode != 0:
        reason = done.stderr.decode(errors="replace").partition("\n")[0]
        pytest.skip(f"npm cannot install {PACKAGE} {VERSION}: {reason}")
    return folder / "node_modules" / PACKAGE / "dist" / "index.js"


@pytest.fixture(params=["stdio", "http"])
def everything(
    request: pytest.FixtureRequest, program: Path, tmp_path: Path
) -> Iterator[Everything]:
    agent = Everything(tmp_path / "everything", program, over_http=request.param == "http")
    try:
        agent.start()
        agent.load()
        yield agent
        close_servers()
        if not agent.is_over_http:
            _, left = psutil.wait_procs(agent.running(), timeout=5)
            assert left == [], "a server outlives its session"
    finally:
        close_servers()
        agent.kill()


def test_imported_tools_answer_in_all_kinds_of_content_and_by_the_servers_schema(
    everything: Everything,
) -> None:
    assert {each.change for each in everything.changes} == {"new"}
    assert everything.tools["add"].description == "Returns the sum of two numbers"

    assert everything.call("echo", message="Grüße, 世界 🚚") == "Echo: Grüße, 世界 🚚"
    assert everything.call("add", a=2, b=40.5) == "The sum of 2 and 40.5 is 42.5."
    weather = everything.call("weather", location="Chicago")
    assert weather == {"temperature": 36, "conditions": "Light rain / drizzle", "humidity": 82}
    image = everything.call("image")
    assert image.split("\n\n")[1] == "[image left out]"
    assert everything.call("links", count=2).count("demo://resource/dynamic/") == 2

    with pytest.raises(ValueError, match="a: "):
        everything.call("add", a="two", b=40)
    with pytest.raises(ValueError, match="location: "):
        everything.call("weather", location="Atlantis")


def test_a_slow_answer_is_awaited_as_long_as_was_promised(everything: Everything) -> None:
    answer = everything.call("slow_read", duration=0.5, steps=2)
    assert answer == "Long running operation completed. Duration: 0.5 seconds, Steps: 2."
    with pytest.raises(TimedOut):
        everything.call("short_read", duration=1, steps=1)
    # Answers that nobody awaits any more do not become those of others.
    assert everything.call("echo", message="after") == "Echo: after"


def test_a_server_killed_during_a_call_is_told_and_the_next_one_serves(
    everything: Everything,
) -> None:
    everything.call("echo", message="before")
    with ThreadPoolExecutor(2) as threads:
        reading = _begin(threads, everything, "slow_read")
        writing = _begin(threads, everything, "slow_write")
        time.sleep(0.5)  # both are on their way, and take two seconds
        everything.kill()
        with pytest.raises(InDoubt, match="may have been done"):
            writing.result()
        if everything.is_over_http:
            with pytest.raises(Unavailable):
                reading.result()
        else:
            assert "completed" in reading.result()
    everything.start()
    assert everything.call("echo", message="after") == "Echo: after"


def _begin(threads: ThreadPoolExecutor, everything: Everything, name: str) -> "Future[Any]":
    """Start a call, and wait until the fleet lets it out."""
    is_out = Event()
    begun = threads.submit(everything.call, name, fence=is_out.set, duration=2, steps=1)
    assert is_out.wait(10)
    return begun
