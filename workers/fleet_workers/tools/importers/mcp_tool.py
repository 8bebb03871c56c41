"""Makes tools of what the lock holds and of what the agent's author says: those of MCP servers."""

from datetime import timedelta
from pathlib import Path

from fleet_contracts.errors import ConfigurationError
from fleet_workers.tools.declaration import DEFAULT_TIMEOUT, Tool
from fleet_workers.tools.importers.build import locked_tool, require_repeat
from fleet_workers.tools.importers.lock import Hints, LockedTool
from fleet_workers.tools.importers.mcp_call import McpCall
from fleet_workers.tools.importers.mcp_session import McpServer
from fleet_workers.tools.importers.promises import apply_promises
from fleet_workers.tools.importers.settings import ImportSection, PromiseSection


def mcp_tools(
    folder: Path,
    source: str,
    section: ImportSection,
    locked: dict[str, LockedTool],
    promises: dict[str, PromiseSection],
) -> list[Tool]:
    """The tools of one server; they share a session.

    Raises:
        ConfigurationError: An author promises what cannot be kept, or calls a read what the
            server itself says writes.
    """
    server = McpServer(source)
    return [
        _mcp_tool(
            name,
            source,
            locked[name],
            section,
            promises.get(name, PromiseSection()),
            server=server,
            folder=folder,
        )
        for name in section.names
    ]


def _mcp_tool(
    name: str,
    source: str,
    locked: LockedTool,
    section: ImportSection,
    said: PromiseSection,
    *,
    server: McpServer,
    folder: Path,
) -> Tool:
    said = _strict(name, locked.hints, said)
    require_repeat(name, said.effect or "write", said.repeat)
    call = McpCall(
        tool=name,
        is_write=said.effect == "write",
        may_repeat=said.effect == "read" or said.repeat == "idempotent",
        timeout=_timeout(said),
        server=server,
        section=section,
        folder=folder,
        locked=locked,
    )
    tool = locked_tool(
        name,
        f"mcp:{source}",
        locked,
        effect=said.effect or "write",
        hidden=frozenset(),
        function=call.function(),
    )
    return apply_promises(tool, said)


def _strict(name: str, hints: Hints, said: PromiseSection) -> PromiseSection:
    """It writes, and its arguments leave the house, unless the author says otherwise.

    What the server says of it can only make it stricter: the server may lie.
    """
    says_it_writes = hints.read_only is False or (hints.destructive and not hints.read_only)
    if said.effect == "read" and says_it_writes:
        raise ConfigurationError(
            f"[promises.{name}] says effect = 'read', but the server's own description says that "
            "it writes: say effect = 'write'."
        )
    is_high = said.effect != "read" and hints.destructive is True
    return said.model_copy(
        update={
            "effect": said.effect or "write",
            "stakes": said.stakes or ("high" if is_high else "low"),
            "open_world": True if said.open_world is None else said.open_world,
        }
    )


def _timeout(said: PromiseSection) -> timedelta:
    if said.timeout_seconds is None:
        return DEFAULT_TIMEOUT
    return timedelta(seconds=said.timeout_seconds)
