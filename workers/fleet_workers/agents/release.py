"""An agent as it runs: manifest, live prompt, tools and examples, under one content hash."""

import importlib.util
import json
import sys
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import ModuleType

from fleet_contracts.errors import ConfigurationError
from fleet_workers.agents.examples import EXAMPLES_NAME, Example, load_examples
from fleet_workers.agents.manifest import Manifest, load_manifest
from fleet_workers.tools import Tool, ToolRegistry
from fleet_workers.tools.importers.load import load_imports
from fleet_workers.tools.importers.lock import LOCK_NAME
from fleet_workers.tools.importers.promises import apply_promises


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenExample:
    """One line of golden.jsonl: a request and what a good run does with it."""

    text: str
    tools: tuple[str, ...] = ()
    outcome: str = "answered"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRelease:
    """An agent's exact version. `id` is `name@prompt-hash`, hashed over every file that matters.

    `golden` and `examples` say what is asked of it, not what it does: they are not hashed.
    """

    id: str
    manifest: Manifest
    prompt: str
    tools: ToolRegistry
    golden: tuple[GoldenExample, ...] = ()
    examples: tuple[Example, ...] = ()

    @property
    def name(self) -> str:
        """The agent's name."""
        return self.manifest.name


def load_release(folder: Path) -> AgentRelease:
    """Load an agent from its folder; its tools.py is imported.

    Raises:
        ConfigurationError: Names the file and what is wrong with it.
    """
    manifest = load_manifest(folder)
    prompt_path = folder / "prompts" / f"{manifest.prompt}.md"
    if not prompt_path.is_file():
        raise ConfigurationError(
            f"{prompt_path} is missing: agent.toml names it as the live prompt."
        )
    return AgentRelease(
        id=f"{manifest.name}@{manifest.prompt}-{_content_hash(folder, prompt_path)}",
        manifest=manifest,
        prompt=prompt_path.read_text(encoding="utf-8").strip(),
        tools=_granted_tools(folder, manifest),
        golden=_golden(folder / "golden.jsonl"),
        examples=load_examples(folder / EXAMPLES_NAME),
    )


def _content_hash(folder: Path, prompt_path: Path) -> str:
    digest = sha256()
    files = [folder / "agent.toml", prompt_path, *sorted(folder.glob("*.py"))]
    if (folder / LOCK_NAME).is_file():
        files.append(folder / LOCK_NAME)
    for path in files:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:10]


def _granted_tools(folder: Path, manifest: Manifest) -> ToolRegistry:
    imported = load_imports(folder, manifest.imports, manifest.promises)
    tools = [*_own_tools(folder, manifest), *imported]
    granted = {each.name for each in tools}
    excusing = [name for rule in manifest.answers.forbidden for name in rule.unless]
    for section, names in (
        ("approvals", list(manifest.approvals)),
        ("promises", list(manifest.promises)),
        ("answers.forbidden.unless", excusing),
    ):
        unknown = [name for name in names if name not in granted]
        if unknown:
            raise ConfigurationError(
                f"{folder / 'agent.toml'}: {section} name {', '.join(unknown)}, "
                "which is not granted."
            )
    return ToolRegistry(tools)


def _own_tools(folder: Path, manifest: Manifest) -> list[Tool]:
    if not manifest.tools:
        return []
    module = _import_tools(folder, manifest.name)
    declared = {each.name: each for each in vars(module).values() if isinstance(each, Tool)}
    missing = [name for name in manifest.tools if name not in declared]
    if missing:
        raise ConfigurationError(
            f"{folder / 'agent.toml'} grants {', '.join(missing)}, which tools.py lacks. "
            f"It declares {', '.join(sorted(declared)) or 'nothing'}."
        )
    return [
        apply_promises(declared[name], manifest.promises[name])
        if name in manifest.promises
        else declared[name]
        for name in manifest.tools
    ]


def _import_tools(folder: Path, agent: str) -> ModuleType:
    path = folder / "tools.py"
    digest = sha256(str(folder.resolve()).encode()).hexdigest()[:8]
    module_name = f"fleet_agent_{agent}_{digest}"
    specification = importlib.util.spec_from_file_location(module_name, path)
    if specification is None or specification.loader is None or not path.is_file():
        raise ConfigurationError(f"{path} is missing: agent.toml grants tools from it.")
    module = importlib.util.module_from_spec(specification)
    sys.modules[module_name] = module
    try:
        specification.loader.exec_module(module)
    except ConfigurationError:
        raise
    except Exception as error:
        raise ConfigurationError(f"{path} cannot be imported: {error!r}.") from error
    return module


def _golden(path: Path) -> tuple[GoldenExample, ...]:
    if not path.is_file():
        return ()
    examples = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            examples.append(
                GoldenExample(
                    text=row["text"],
                    tools=tuple(row.get("tools", ())),
                    outcome=row.get("outcome", "answered"),
                )
            )
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(f"{path}, line {number}: {error!r}.") from error
    return tuple(examples)
