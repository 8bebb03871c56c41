"""The compose file and the image, as far as they can be checked without a Docker engine."""

import json
import os
import re
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleet_workers.agents import load_catalogue
from fleet_workers.broker.definitions import broker_definitions
from fleet_workers.desk_file import load_desk_file
from fleet_workers.settings import Settings
from support.commands import assert_fleetctl

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
    others = {"FLOWER_BASIC_AUTH", "FLOWER_BROKER_API", "OTEL_EXPORTER_OTLP_ENDPOINT"}
    return named | aliases | tools | others


def _example_variables() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


@pytest.mark.parametrize("name", [name for name in OURS if OURS[name]["command"][0] == "fleetctl"])
def test_each_command_is_one_of_fleetctl(name: str) -> None:
    assert_fleetctl(OURS[name]["command"], name)


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
    assert set(foreign) == {
        *("postgres", "rabbitmq", "redis", "prometheus", "grafana", "collector"),
    }
    assert all(re.search(r":v?[0-9.]+(-[a-z]+)?$", image) for image in foreign.values())
    for image in re.findall(r"^FROM (\S+)", DOCKERFILE.read_text(), re.MULTILINE):
        assert re.search(r":3\.[0-9]+-slim$", image)


def test_ports_are_open_on_loopback_only() -> None:
    ports = [port for each in SERVICES.values() for port in each.get("ports", [])]
    assert ports
    assert all(str(port).startswith("127.0.0.1:") for port in ports)


def test_servers_are_reached_from_inside_only() -> None:
    assert all(COMPOSE["networks"][name]["internal"] for name in ("data", "watch"))
    for name in ("postgres", "redis"):
        assert SERVICES[name]["networks"] == ["data"]
    for name, each in SERVICES.items():
        published = {"front", "panels"} & set(each["networks"])
        assert bool(published) == ("ports" in each), name
        if name != "prometheus":
            shared = set(each["networks"]) & set(SERVICES["prometheus"]["networks"])
            assert len(shared) <= 1 or name == "grafana", f"{name} would be scraped twice"


@pytest.mark.parametrize("name", SERVICES)
def test_no_service_may_fill_the_host_or_raise_its_rights(name: str) -> None:
    service = SERVICES[name]
    assert service["logging"]["options"]["max-size"]
    limits = service["deploy"]["resources"]["limits"]
    assert {"cpus", "memory", "pids"} == set(limits)
    assert "no-new-privileges:true" in service["security_opt"]
    if "build" in service:
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["tmpfs"] == ["/tmp"]  # noqa: S108 the one place that is written to


@pytest.mark.parametrize(
    "name", [name for name in SERVICES if SERVICES[name].get("restart") != "no"]
)
def test_what_stays_up_is_checked_and_started_again(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    checked = "healthcheck" in service or name == "web"  # the image's own check is web's
    assert checked or "profiles" in service


def test_files_that_are_mounted_exist() -> None:
    for name, each in SERVICES.items():
        for mount in each.get("volumes", []):
            source = mount.split(":")[0]
            if source.startswith("./"):
                assert (ROOT / source).exists(), f"{name}: {source}"
                assert mount.endswith(":ro"), f"{name}: {mount}"
            else:
                assert source in COMPOSE["volumes"], f"{name}: {source}"


def test_prometheus_asks_services_that_share_a_network_with_it() -> None:
    text = (ROOT / "deploy/prometheus/prometheus.yml").read_text()
    jobs = yaml.safe_load(text)["scrape_configs"]
    asked = {
        (name, found["port"])
        for job in jobs
        for found in job.get("dns_sd_configs", [])
        for name in found["names"]
    }
    assert {name for name, _ in asked} >= {*POOLS, "web", "janitor", "flower", "rabbitmq"}
    for name, port in asked:
        assert "watch" in SERVICES[name]["networks"], name
        told = SERVICES[name].get("environment", {}).get("FLEET_METRICS_PORT", port)
        assert name in ("web", "flower", "rabbitmq") or int(told) == port, name


def test_rabbitmqs_definitions_are_those_of_the_code() -> None:
    shipped = json.loads((ROOT / "deploy/rabbitmq/definitions/50-fleet.json").read_text())
    bundled = load_catalogue().names
    assert shipped == broker_definitions(bundled), "fleetctl broker definitions makes it anew"


def test_rabbitmq_makes_the_fleets_user_from_the_environment() -> None:
    content = COMPOSE["configs"]["rabbitmq_users"]["content"]
    users = json.loads(re.sub(r"\$\{[^}]*\}", "s3cret", content))
    assert [user["name"] for user in users["users"]] == ["fleet"]
    assert "administrator" not in users["users"][0]["tags"]
    assert "s3cret@rabbitmq" in re.sub(
        r"\$\{RABBITMQ[^}]*\}", "s3cret", POOLS["pool-billing"]["environment"]["FLEET_BROKER_URL"]
    )


def test_compose_itself_reads_the_file(tmp_path: Path) -> None:
    """Where Docker's client is installed: it needs no engine for this."""
    words = _compose()
    values = tmp_path / "env"
    values.write_text("".join(f"{name}=x1\n" for name in _example_variables()))
    whole = (*words, "--env-file", str(values), "--profile", "sandbox", "--profile", "traces")
    done = subprocess.run(
        (*whole, "config", "--format", "json"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.stderr
    assert set(json.loads(done.stdout)["services"]) == set(SERVICES)
    kept = {name: value for name, value in os.environ.items() if name not in _example_variables()}
    empty = (*words, "--env-file", os.devnull, "config", "--quiet")
    refused = subprocess.run(empty, cwd=ROOT, capture_output=True, text=True, check=False, env=kept)
    assert "set it in .env" in refused.stderr


def _compose() -> tuple[str, ...]:
    for words in (("docker", "compose"), ("docker-compose",)):
        if shutil.which(words[0]):
            asked = subprocess.run((*words, "version"), capture_output=True, text=True, check=False)
            if asked.returncode == 0 and re.search(r"\bv?[2-9]\.", asked.stdout):
                return words
    pytest.skip("Docker Compose is not installed.")


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
    used |= {secret["environment"] for secret in COMPOSE["secrets"].values()}
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


def test_the_desks_file_is_right_as_it_is_and_with_all_its_examples(tmp_path: Path) -> None:
    text = (ROOT / "deploy/desk.toml").read_text()
    assert load_desk_file(ROOT / "deploy/desk.toml").oidc is None
    everything = tmp_path / "desk.toml"
    everything.write_text(re.sub(r"^#(?=[a-z\[])", "", text, flags=re.MULTILINE))
    desk = load_desk_file(everything)
    assert desk.oidc is not None
    assert desk.mail is not None
    assert desk.notices
    assert desk.webhooks
    for service in ("web", "janitor"):
        mounted = OURS[service]["volumes"][0].split(":")
        assert mounted[:2] == ["./deploy/desk.toml", OURS[service]["environment"]["FLEET_DESK"]]
