"""Asks documents and servers what their tools are, and writes the lock."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fleet_contracts.errors import ConfigurationError, FleetError, Unavailable
from fleet_workers.tools.importers.definitions import one_line
from fleet_workers.tools.importers.load import document_hash, is_address, read_file
from fleet_workers.tools.importers.lock import (
    Lock,
    LockedImport,
    LockedTool,
    read_lock,
    write_lock,
)
from fleet_workers.tools.importers.mcp_call import open_way
from fleet_workers.tools.importers.mcp_definitions import read_tools as read_mcp_tools
from fleet_workers.tools.importers.mcp_loop import LOOP
from fleet_workers.tools.importers.mcp_session import McpServer
from fleet_workers.tools.importers.openapi import read_tools as read_operations
from fleet_workers.tools.importers.openapi_document import fetch_document, parse_document
from fleet_workers.tools.importers.settings import ImportSection


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportChange:
    """What an import did to one tool; `description` is what a model will read."""

    source: str
    tool: str
    change: Literal["new", "changed", "same", "removed"]
    description: str


def fetch_imports(
    folder: Path, imports: Mapping[str, ImportSection], environment: Mapping[str, str]
) -> list[ImportChange]:
    """Import all `[imports.NAME]` of an agent anew and write its lock; servers are asked now.

    `environment` holds the variables that the agent's file names. Nothing is written where one
    import fails.

    Raises:
        ConfigurationError: A document or a server does not have what agent.toml includes.
        Unavailable: A server cannot be reached.
    """
    if not imports:
        raise ConfigurationError(
            f"{folder / 'agent.toml'} imports nothing: it has no section [imports.NAME]."
        )
    before = read_lock(folder)
    now = Lock(
        imports={
            source: _fetch(folder, source, section, environment)
            for source, section in imports.items()
        }
    )
    write_lock(folder, now)
    return list(_changes(before, now))


def _fetch(
    folder: Path, source: str, section: ImportSection, environment: Mapping[str, str]
) -> LockedImport:
    try:
        if section.openapi is None:
            return _from_server(folder, source, section, environment)
        if is_address(section.openapi):
            document = parse_document(fetch_document(section.openapi))
            return LockedImport(tools=read_operations(document, section.names))
        content = read_file(folder, section.openapi)
        tools = read_operations(parse_document(content), section.names)
        return LockedImport(document=document_hash(content), tools=tools)
    except ConfigurationError as error:
        reason = str(error).rstrip(".")
        raise ConfigurationError(f"{folder.name}, [imports.{source}]: {reason}.") from error


def _from_server(
    folder: Path, source: str, section: ImportSection, environment: Mapping[str, str]
) -> LockedImport:
    way = open_way(section, folder, environment)

    async def ask() -> dict[str, LockedTool]:
        server = McpServer(source)
        session = await server.opened(way)
        try:
            return read_mcp_tools(await session.tools(), section.names)
        finally:
            await session.close()

    try:
        return LockedImport(tools=LOOP.run(ask()))
    except FleetError:
        raise
    except Exception as error:
        reason = one_line(str(error) or type(error).__name__, 500)
        raise Unavailable(f"[imports.{source}]: the MCP server: {reason}") from error


def _changes(before: Lock, now: Lock) -> Iterator[ImportChange]:
    for source in sorted(before.imports.keys() | now.imports.keys()):
        old = before.imports[source].tools if source in before.imports else {}
        new = now.imports[source].tools if source in now.imports else {}
        for name in sorted(old.keys() | new.keys()):
            change: Literal["new", "changed", "same", "removed"] = "same"
            if name not in old:
                change = "new"
            elif name not in new:
                change = "removed"
            elif old[name] != new[name]:
                change = "changed"
            yield ImportChange(
                source=source,
                tool=name,
                change=change,
                description=(new.get(name) or old[name]).description,
            )
