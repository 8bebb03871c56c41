"""Loads imported tools from the lock; no server is asked."""

from hashlib import sha256
from pathlib import Path

from fleet_contracts.errors import ConfigurationError
from fleet_workers.tools.declaration import Tool
from fleet_workers.tools.importers.build import openapi_tool
from fleet_workers.tools.importers.lock import (
    LOCK_NAME,
    Lock,
    LockedImport,
    LockedTool,
    read_lock,
)
from fleet_workers.tools.importers.settings import ImportSection, PromiseSection


def load_imports(
    folder: Path, imports: dict[str, ImportSection], promises: dict[str, PromiseSection]
) -> list[Tool]:
    """The tools of all `[imports.NAME]` of an agent, with what `[promises.NAME]` says of them.

    Raises:
        ConfigurationError: Something was not imported, or has changed since; the text names the
            remedy. Or a promise contradicts the tool.
    """
    if not imports:
        return []
    lock = read_lock(folder)
    tools: list[Tool] = []
    for source, section in imports.items():
        locked = _current(folder, source, section, lock).tools
        if section.mcp is not None:
            tools += _mcp_tools(folder, source, section, locked, promises)
            continue
        for name in section.names:
            said = promises.get(name, PromiseSection())
            tools.append(openapi_tool(name, source, locked[name], section, said))
    return tools


def _mcp_tools(
    folder: Path,
    source: str,
    section: ImportSection,
    locked: dict[str, LockedTool],
    promises: dict[str, PromiseSection],
) -> list[Tool]:
    # The SDK takes half a second to import: agents without MCP do without it.
    from fleet_workers.tools.importers.mcp_tool import mcp_tools  # noqa: PLC0415

    return mcp_tools(folder, source, section, locked, promises)


def document_hash(content: bytes) -> str:
    """What the lock keeps of a document that lies in the agent's folder."""
    return sha256(content).hexdigest()


def is_address(document: str) -> bool:
    """Whether `openapi = …` names an address and not a file of the folder."""
    return "://" in document


def read_file(folder: Path, document: str) -> bytes:
    """Read a document of the agent's folder.

    Raises:
        ConfigurationError: It is not there, or lies outside the folder.
    """
    path = (folder / document).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        raise ConfigurationError(
            f"{folder / 'agent.toml'} names {document}, which is no file in the agent's folder."
        )
    return path.read_bytes()


def _current(folder: Path, source: str, section: ImportSection, lock: Lock) -> LockedImport:
    locked = lock.imports.get(source)
    remedy = f"`fleetctl agents import {folder.name}` does it."
    if locked is None:
        raise ConfigurationError(
            f"{folder / LOCK_NAME} lacks [imports.{source}]: import it first. {remedy}"
        )
    for name, remote in section.names.items():
        entry = locked.tools.get(name)
        if (
            entry is None
            or entry.remote != remote
            or (entry.operation is None) != (section.openapi is None)
        ):
            raise ConfigurationError(
                f"{folder / LOCK_NAME} lacks {name} of [imports.{source}], which agent.toml "
                f"includes: import it first. {remedy}"
            )
    if (
        section.openapi is not None
        and not is_address(section.openapi)
        and document_hash(read_file(folder, section.openapi)) != locked.document
    ):
        raise ConfigurationError(
            f"{folder / section.openapi} has changed since it was imported: import it anew, and "
            f"look at what changes. {remedy}"
        )
    return locked
