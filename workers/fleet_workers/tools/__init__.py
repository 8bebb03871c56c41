"""Tools: what an agent can look up and do. Authors need `tool` and `ToolContext` only."""

from fleet_workers.tools.context import ToolContext
from fleet_workers.tools.registry import Tool, ToolRegistry, tool

__all__ = ["Tool", "ToolContext", "ToolRegistry", "tool"]
