"""The agents of a dry run: those installed, or another release of one of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from fleet_contracts.errors import ConfigurationError
from fleet_workers.agents import AgentCatalogue, AgentRelease, load_catalogue
from fleet_workers.agents.catalogue import BUNDLED_FOLDER
from fleet_workers.agents.manifest import MANIFEST_NAME, PromptVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Which release a dry run tries. `folder` holds agents that stand in for those installed.

    `prompt` is the version (`v2`) of the agent's prompts to use instead of the live one.
    """

    folder: Path | None = None
    prompt: str | None = None


def agents_on_trial(
    installed: AgentCatalogue, trial: Trial, *, agent: str, agents_path: Sequence[Path]
) -> AgentCatalogue:
    """The catalogue in which `agent` runs on trial.

    Raises:
        ConfigurationError: The folder or the prompt is wrong or missing.
        UnknownAgent: No agent of that name is installed or on trial.
    """
    catalogue = installed
    roots = [BUNDLED_FOLDER, *agents_path]
    if trial.folder is not None:
        catalogue = AgentCatalogue([*installed, *load_catalogue([trial.folder], bundled=False)])
        roots.append(trial.folder)
    if trial.prompt is None:
        return catalogue
    release = _with_prompt(catalogue.get(agent), trial.prompt, roots)
    return AgentCatalogue([*catalogue, release])


def _with_prompt(release: AgentRelease, version: str, roots: Iterable[Path]) -> AgentRelease:
    try:
        TypeAdapter(PromptVersion).validate_python(version)
    except ValidationError as error:
        raise ConfigurationError(
            f"{version!r} is no version of a prompt: name one as v2."
        ) from error
    folder = _folder_of(release.name, roots)
    path = folder / "prompts" / f"{version}.md"
    if not path.is_file():
        known = ", ".join(sorted(each.stem for each in path.parent.glob("v*.md")))
        raise ConfigurationError(f"{path} is missing. There are: {known or 'none'}.")
    return replace(
        release,
        id=f"{release.name}@{version}-trial",
        manifest=release.manifest.model_copy(update={"prompt": version}),
        prompt=path.read_text(encoding="utf-8").strip(),
    )


def _folder_of(agent: str, roots: Iterable[Path]) -> Path:
    """The folder that an agent was loaded from: the last root that has it, as in the catalogue."""
    found = [
        folder
        for root in roots
        for folder in (root / agent, root)
        if folder.name == agent and (folder / MANIFEST_NAME).is_file()
    ]
    if not found:
        raise ConfigurationError(f"No folder of the agent {agent} was found on FLEET_AGENTS_PATH.")
    return found[-1]
