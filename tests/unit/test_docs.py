"""What the documents say exists: links, commands, variables, states."""

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer

from fleet_client.cli import app as fleet
from fleet_contracts.states import TRANSITIONS, TaskState
from fleet_workers.agents import load_catalogue
from fleet_workers.cli import cli as fleetctl
from fleet_workers.settings import Settings

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
CODE = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
REGISTRY_HOSTS = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("registry", "npmjs", "org"),
        ("proxy", "golang", "org"),
        ("crates", "io"),
        ("docker", "io"),
        ("ghcr", "io"),
        ("quay", "io"),
    )
]


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _commands(text: str) -> list[str]:
    """Every line of code, and every piece of code within a line of text."""
    lines = [line for block in CODE.findall(text) for line in block.splitlines()]
    return lines + INLINE.findall(CODE.sub("", text))


def _anchors(path: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", CODE.sub("", path.read_text()), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", DOCUMENTS, ids=_name)
def test_relative_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", CODE.sub("", path.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        assert there.exists(), f"{_name(path)} links to {target}"
        assert not anchor or anchor in _anchors(there), f"{_name(path)} links to {target}"


def _check_command(program: Any, words: list[str], place: str) -> None:
    command: Any = typer.main.get_command(program)
    while hasattr(command, "commands") and words and re.fullmatch(r"[a-z-]+", words[0]):
        assert words[0] in command.commands, f"{place}: no command {words[0]}"
        command = command.commands[words.pop(0)]
    options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    for word in words:
        if re.fullmatch(r"--[a-z-]+", word):
            assert word in options, f"{place}: no option {word}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=_name)
def test_commands_exist(path: Path) -> None:
    not_built = _not_built(path)
    for line in _commands(path.read_text()):
        found = re.search(r"(?:^|[\s/])(fleetctl|fleet) ([a-z].*)", line)
        if found is None or line in not_built:
            continue
        program = fleetctl if found[1] == "fleetctl" else fleet
        words = re.split(r"[|;#]", found[2])[0].split()
        _check_command(program, words, f"{_name(path)}: {line}")


def _not_built(path: Path) -> list[str]:
    """Commands that a document names to say that they do not exist."""
    text = path.read_text()
    _, title, end = text.partition("## What is not built yet")
    return _commands(title + end)


@pytest.mark.parametrize("path", DOCUMENTS, ids=_name)
def test_make_targets_exist(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for line in _commands(path.read_text()):
        for target in re.findall(r"(?:^|\s)make ([a-z-]+)", line):
            assert target in targets, f"{_name(path)}: make {target}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=_name)
def test_variables_are_settings(path: Path) -> None:
    known = {f"FLEET_{name.upper()}" for name in Settings.model_fields}
    known |= {name for agent in load_catalogue() for name in agent.manifest.environment}
    known |= {"FLEET_API_URL", "FLEET_API_KEY", "FLEET_TENANT"}  # the client's own
    for name in re.findall(r"\bFLEET_[A-Z][A-Z_]*[A-Z]\b", path.read_text()):
        assert name in known or name == "FLEET_KEY", f"{_name(path)}: {name}"


def test_the_picture_of_the_states_shows_every_transition() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    picture = text.partition("stateDiagram-v2")[2].partition("```")[0]
    drawn = set(re.findall(r"(\S+) --> (\S+)", picture))
    expected = {(a.value, b.value) for a, following in TRANSITIONS.items() for b in following}
    expected.add(("[*]", TaskState.QUEUED.value))
    expected |= {(state.value, "[*]") for state in TaskState if not TRANSITIONS[state]}
    assert drawn == expected


def test_the_layers_are_those_of_the_import_rule() -> None:
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = next(each["layers"] for each in rules["contracts"] if each.get("exhaustive"))
    blocks = CODE.findall((ROOT / "docs/architecture.md").read_text())
    drawn = next(block for block in blocks if block.startswith("cli\n"))
    optional = str.maketrans("", "", "()")  # a layer that need not exist
    expected = [layer.translate(optional) for layer in layers]
    assert [re.split(r"\s{2,}", line)[0] for line in drawn.splitlines()] == expected


def test_no_tracked_file_names_a_package_registry() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("this is no git repository")
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if not path.is_file():
            continue
        text = path.read_bytes().decode("utf-8", "replace").lower()
        for host in REGISTRY_HOSTS:
            pattern = rf"(?<![a-z0-9-]){re.escape(host)}(?![a-z0-9-])"
            assert not re.search(pattern, text), f"{name} names {host}"
