"""The compose file and the image, as far as they can be checked without a Docker engine."""

import re
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from fleet_workers.agents import load_catalogue
from fleet_workers.cli import cli
from fleet_workers.settings import Settings

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy/Dockerfile"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: each for name, each in SERVICES.items() if "build" in each}
POOLS = {name: each for name, each in OURS.items() if each["command"][:2] == ["fleetctl", "worker"]}


def _environment_names() -> set[str]:
    named = {f"FLEET_{name.upper()}" for name in Settings.model_fields}
    aliases = {str(each.validation_alias) for each in Settings.model_fields.values()}
    tools = {name for agent in load_catalogue() for name in agent.manifest.environment}
    return named | aliases | tools | {"FLOWER_BASIC_AUTH"}


def _example_variables() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


@pytest.mark.parametrize("name", [name for name in OURS if OURS[name]["command"][0] == "fleetctl"])
def test_each_command_is_one_of_fleetctl(name: str) -> None:
    words = [word for word in OURS[name]["command"][1:] if not word.startswith("-")]
    command: Any = typer.main.get_command(cli)
    while hasattr(command, "commands"):
        assert words[0] in command.commands, f"{name}: fleetctl has no {words[0]}"
        command = command.commands[words.pop(0)]
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in OURS[name]["command"] if word.startswith("--")} <= options


@pytest.mark.parametrize("name", OURS)
def test_each_variable_is_a_setting(name: str) -> None:
    assert set(OURS[name].get("environment", {})) <= _environment_names()


def test_three_pools_serve_the_bundled_agents_and_triage() -> None:
    served = [each["command"][2:] for each in POOLS.values()]
    assert len(served) == 3
    assert {agents[0] for agents in served} == set(load_catalogue().names)
    assert all("auto" in agents for agents in served)


def test_pools_are_stopped_later_than_their_longest_step() -> None:
    for each in POOLS.values():
        variables = each["environment"]
        settings = Settings(
            stop_grace=variables["FLEET_STOP_GRACE"], model_timeout=variables["FLEET_MODEL_TIMEOUT"]
        )
        patience = timedelta(seconds=int(each["stop_grace_period"].removesuffix("s")))
        assert patience > settings.stop_grace > settings.model_timeout


def test_foreign_images_name_their_major_version() -> None:
    foreign = {name: each["image"] for name, each in SERVICES.items() if "build" not in each}
    assert set(foreign) == {"postgres", "rabbitmq", "redis"}
    assert all(re.search(r":[0-9]+(-[a-z]+)?$", image) for image in foreign.values())
    for image in re.findall(r"^FROM (\S+)", DOCKERFILE.read_text(), re.MULTILINE):
        assert re.search(r":3\.[0-9]+-slim$", image)


def test_ports_are_open_on_loopback_only() -> None:
    ports = [port for each in SERVICES.values() for port in each.get("ports", [])]
    assert ports
    assert all(str(port).startswith("127.0.0.1:") for port in ports)


def test_dependencies_are_services_that_can_reach_the_state_waited_for() -> None:
    for each in SERVICES.values():
        for wanted, how in each.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "test" in SERVICES[wanted]["healthcheck"]
            else:
                assert SERVICES[wanted]["restart"] == "no"


def test_no_secret_has_a_value_and_every_variable_is_in_the_example() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    used = set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", text))
    example = _example_variables()
    assert used == set(example)
    assert not any(value for name, value in example.items() if re.search("PASSWORD|KEY", name))


def test_every_password_must_be_set() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    uses = re.findall(r"(?<!\$)\$\{[A-Z_]*(?:PASSWORD|API_KEY)[^}]*\}", text)
    assert uses
    assert all(":?" in use for use in uses)


def test_the_image_runs_as_an_ordinary_user_and_installs_from_the_lock() -> None:
    text = DOCKERFILE.read_text()
    final = text[text.rindex("\nFROM ") :]
    assert re.search(r"^USER [1-9][0-9]*$", final, re.MULTILINE)
    assert "HEALTHCHECK" in final
    assert "--constraint requirements.lock" in text
    assert (ROOT / "requirements.lock").read_text().count("--hash=sha256:") > 0


def test_what_the_image_copies_is_let_into_the_build() -> None:
    allowed = {
        line[1:]
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE.read_text(), re.MULTILINE)
    assert {word for line in copied for word in line.split()} == allowed
    assert all((ROOT / name).exists() for name in allowed)


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        ("hadolint", [str(DOCKERFILE)]),
        (
            "check-jsonschema",
            ["--builtin-schema", "vendor.compose-spec", str(ROOT / "docker-compose.yml")],
        ),
    ],
)
def test_linters_have_nothing_to_say(program: str, arguments: list[str]) -> None:
    found = shutil.which(program, path=str(ROOT / ".venv/bin")) or shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed")
    done = subprocess.run([found, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
