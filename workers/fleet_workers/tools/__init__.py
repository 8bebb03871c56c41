"""Tools: what an agent can look up and do. Authors need `tool`, `ToolContext` and `CONTENT`."""

from fleet_workers.tools.context import ToolContext
from fleet_workers.tools.declaration import CONTENT, Tool
from fleet_workers.tools.registry import ToolRegistry, tool

__all__ = ["CONTENT", "Tool", "ToolContext", "ToolRegistry", "tool"]
