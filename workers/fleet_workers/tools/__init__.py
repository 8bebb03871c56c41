"""Tools: what an agent can look up and do. `tool` and `ToolContext` are all that an author needs."""

from fleet_workers.tools.context import ToolContext
from fleet_workers.tools.registry import Tool, ToolRegistry, tool

__all__ = ["Tool", "ToolContext", "ToolRegistry", "tool"]
