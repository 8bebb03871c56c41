"""Runs `fleetctl` as an operator would: a process of its own."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fleet_workers.cli.terminal import console
from support.stacks import Stack

AGENTS = Path(__file__).parent / "agents"
_WORDS = (sys.executable, "-P", "-m", "fleet_workers.cli")


def environment_on(stack: Stack, **more: str) -> dict[str, str]:
    """What fleetctl is told about the servers of a stack, and nothing else of the fleet."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FLEET_")}
    wide = {"COLUMNS": "220", "TERM": "dumb", "FLEET_AGENTS_PATH": str(AGENTS)}
    return {**kept, **wide, **stack.environment(), **more}


def see_only_the_store(
    monkeypatch: pytest.MonkeyPatch, url: str, *, width: int, agents: Path = AGENTS
) -> None:
    """Commands of this process find a store, agents, and nothing else."""
    monkeypatch.setenv("FLEET_STORE_URL", url.replace("+psycopg", ""))
    monkeypatch.setenv("FLEET_REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("FLEET_BROKER_URL", "amqp://127.0.0.1:1")
    monkeypatch.setenv("FLEET_AGENTS_PATH", str(agents))
    monkeypatch.setattr(console, "width", width)


def fleetctl(environment: Mapping[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        (*_WORDS, *words),
        env=dict(environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )


def start_fleetctl(environment: Mapping[str, str], *words: str) -> "subprocess.Popen[Any]":
    """Start a command; its output is read with `communicate`."""
    return subprocess.Popen(
        (*_WORDS, *words),
        env=dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
