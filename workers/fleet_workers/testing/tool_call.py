"""Calls one tool through the real runtime, without a store, a broker or a model."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from fleet_contracts.envelope import build_envelope
from fleet_contracts.errors import ConfigurationError
from fleet_workers.agents.release import load_release
from fleet_workers.resilience.breakers import Breakers
from fleet_workers.tools import Tool
from fleet_workers.tools.importers.mcp_loop import LOOP
from fleet_workers.tools.runtime import ToolRuntime


def agent_tool(agent: Path | str, name: str) -> Tool:
    """A tool as the agent in a folder has it: imported ones, too, and with all its promises.

    Raises:
        ConfigurationError: The folder is wrong, or the agent has no such tool.
    """
    release = load_release(Path(agent))
    found = release.tools.get(name)
    if found is None:
        raise ConfigurationError(
            f"{release.name} has no tool {name}. "
            f"It has {', '.join(each.name for each in release.tools) or 'none'}."
        )
    return found


def call_tool(
    tool: Tool,
    /,
    customer: str | None = None,
    tenant: str = "acme",
    *,
    key: str | None = None,
    environment: Mapping[str, str] | None = None,
    fence: Callable[[], None] = lambda: None,
    **arguments: Any,
) -> Any:
    """Call a tool as a worker would and give what the model would see, ready for JSON.

    `key` is the idempotency key, a new one where none is given: the same key is the same call
    again. `environment` holds the variables that the tool may see, this process's where none are
    given. MCP servers that the call has started run until `close_servers`, or the process's end.

    Raises:
        ValueError: The arguments do not fit; the model is told this text.
        TransientError, PermanentError, InDoubt: As `ToolRuntime.call`.
    """
    variables = os.environ if environment is None else environment
    runtime = ToolRuntime(breakers=Breakers(), environment=variables)
    try:
        return runtime.call(
            tool,
            arguments,
            envelope=build_envelope(tenant=tenant, agent="test", input="test", customer=customer),
            agent="test",
            key=key or f"{uuid4()}:1:0",
            environment=tuple(variables),
            repeat=None,
            fence=fence,
        )
    finally:
        runtime.close()


def close_servers() -> None:
    """End all MCP sessions of this process, and the servers that were started for them."""
    LOOP.close()
