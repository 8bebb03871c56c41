"""Which agents have which tools."""

from collections.abc import Iterator

from fleet_contracts.errors import InvalidInput
from fleet_workers.agents.catalogue import AgentCatalogue
from fleet_workers.agents.release import AgentRelease
from fleet_workers.store.pauses import EVERY
from fleet_workers.tools import Tool


class UnknownRight(InvalidInput):
    """No agent has a tool or a scope of that name."""

    code = "unknown_right"


class UnknownTool(InvalidInput):
    """No agent that is meant has a tool of that name."""

    code = "unknown_tool"


def granted_tools(catalogue: AgentCatalogue) -> Iterator[tuple[AgentRelease, Tool]]:
    """Every tool of every agent, by the agents' names."""
    for name in catalogue.names:
        release = catalogue.get(name)
        for each in release.tools:
            yield release, each


def require_tool(catalogue: AgentCatalogue, name: str, *, agent: str = EVERY) -> None:
    """Make sure that the agent, or any where it is `*`, has a tool of that name.

    Raises:
        UnknownAgent: No agent of that name is installed.
        UnknownTool: Lists the names that exist.
    """
    releases = catalogue if agent == EVERY else [catalogue.get(agent)]
    names = sorted({each.name for release in releases for each in release.tools})
    if name not in names:
        where = "any agent" if agent == EVERY else f"the agent {agent}"
        raise UnknownTool(f"No tool {name!r} is granted to {where}: {', '.join(names) or 'none'}.")


def require_right(catalogue: AgentCatalogue, name: str) -> None:
    """Make sure that some agent has a tool of that name, or it or its tools a scope.

    Raises:
        UnknownRight: Lists the names that exist.
    """
    names = {scope for release in catalogue for scope in release.manifest.scopes}
    for _, each in granted_tools(catalogue):
        names |= {each.name, *each.scopes}
    if name not in names:
        known = ", ".join(sorted(names)) or "none"
        raise UnknownRight(f"No installed agent has a tool or a scope {name!r}: {known}.")
