"""`fleetctl agents import`: takes over the tools of OpenAPI documents and MCP servers."""

import os
from pathlib import Path

from rich.markup import escape

from fleet_contracts.errors import UnknownAgent
from fleet_workers.cli.terminal import console, new_table
from fleet_workers.settings import load_settings


def import_tools(name: str) -> None:
    """Ask an agent's documents and MCP servers for its tools, and pin them in its lock.

    Read the descriptions that it prints: a model will.
    """
    from fleet_workers.agents.manifest import load_manifest
    from fleet_workers.tools.importers.fetch import fetch_imports
    from fleet_workers.tools.importers.lock import LOCK_NAME

    folder = _folder(name)
    manifest = load_manifest(folder)
    environment = {
        variable: os.environ[variable]
        for variable in manifest.environment
        if variable in os.environ
    }
    table = new_table("import", "tool", "now", "description")
    for each in fetch_imports(folder, manifest.imports, environment):
        table.add_row(each.source, each.tool, each.change, escape(each.description))
    console.print(table)
    console.print(f"Wrote {folder / LOCK_NAME}. Workers take it up when they start.")


def _folder(name: str) -> Path:
    from fleet_workers.agents.catalogue import BUNDLED_FOLDER
    from fleet_workers.agents.manifest import MANIFEST_NAME

    for root in reversed([BUNDLED_FOLDER, *map(Path, load_settings().agents_path)]):
        for folder in (root / name, root):
            if folder.name == name and (folder / MANIFEST_NAME).is_file():
                return folder
    raise UnknownAgent(
        f"No agent is called {name!r}. An agent of your own is a folder on FLEET_AGENTS_PATH."
    )
