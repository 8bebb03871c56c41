"""Finds the agents: the bundled ones, and those in folders on `FLEET_AGENTS_PATH`."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from fleet_contracts.errors import ConfigurationError, UnknownAgent
from fleet_workers.agents.manifest import MANIFEST_NAME
from fleet_workers.agents.release import AgentRelease, load_release

BUNDLED_FOLDER = Path(__file__).parent


class AgentCatalogue:
    """All installed agents by name, each in its live release."""

    def __init__(self, releases: Iterable[AgentRelease]) -> None:
        self._releases = {release.name: release for release in releases}

    def __iter__(self) -> Iterator[AgentRelease]:
        return iter(self._releases.values())

    def __contains__(self, name: str) -> bool:
        return name in self._releases

    @property
    def names(self) -> tuple[str, ...]:
        """Names in alphabetical order."""
        return tuple(sorted(self._releases))

    def get(self, name: str) -> AgentRelease:
        """The live release of an agent.

        Raises:
            UnknownAgent: Lists the names that exist.
        """
        try:
            return self._releases[name]
        except KeyError:
            raise UnknownAgent(
                f"No agent is called {name!r}. Installed: {', '.join(self.names)}, or auto. "
                "An agent of your own is a folder on FLEET_AGENTS_PATH."
            ) from None


def load_catalogue(agents_path: Iterable[Path] = (), *, bundled: bool = True) -> AgentCatalogue:
    """Load every agent folder. A user's agent replaces a bundled one of the same name.

    Raises:
        ConfigurationError: A folder is missing or an agent in it is wrong.
    """
    roots = ([BUNDLED_FOLDER] if bundled else []) + [Path(root) for root in agents_path]
    folders: dict[str, Path] = {}
    for root in roots:
        if not root.is_dir():
            raise ConfigurationError(f"FLEET_AGENTS_PATH names {root}, which is not a folder.")
        found = sorted(path.parent for path in root.glob(f"*/{MANIFEST_NAME}"))
        if not found and (root / MANIFEST_NAME).is_file():
            found = [root]
        if not found and root != BUNDLED_FOLDER:
            raise ConfigurationError(
                f"{root} holds no agent: expected {root}/NAME/{MANIFEST_NAME}."
            )
        folders.update({folder.name: folder for folder in found})
    return AgentCatalogue(load_release(folder) for folder in folders.values())
