"""The Kubernetes manifests, without a cluster: schema, references, and what the code expects."""

import re
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from fleet_workers.agents import load_catalogue
from fleet_workers.settings import Settings
from support.commands import assert_fleetctl
from support.manifests import (
    FOLDER,
    Manifest,
    built,
    containers,
    name,
    of_kind,
    overlays,
    pod,
    selects,
    workloads,
)
from support.network_policies import lets_through

ROOT = FOLDER.parents[1]
PAGE = ROOT / "docs/howto/deploy-on-kubernetes.md"
OLDEST, NEWEST = "1.32", kubernetes_validate.latest_version()
SECRETS = {
    "fleet-servers": {"FLEET_STORE_URL", "FLEET_BROKER_URL", "FLEET_REDIS_URL"},
    "fleet-model-key": {"OPENAI_API_KEY"},
    "fleet-flower": {"FLOWER_BASIC_AUTH", "FLOWER_BROKER_API"},
    "fleet-reports": {"SENTRY_DSN"},
    "fleet-desk-secrets": set(),
    "dev-servers": {"postgres", "redis", "rabbitmq-users"},
    "fleet-tls": set(),
}
"""Secrets that an operator makes, with their keys; the how-to names each."""

KNOWN_ELSEWHERE = {
    "PodMonitor": ("monitoring.coreos.com/v1", {"selector", "podMetricsEndpoints"}),
    "ScaledObject": ("keda.sh/v1alpha1", {"scaleTargetRef", "triggers"}),
    "TriggerAuthentication": ("keda.sh/v1alpha1", set()),
}
"""Kinds that operators bring: their version, and what their specification must at least hold."""

each_overlay = pytest.mark.parametrize("overlay", overlays())


def _ours(manifests: list[Manifest]) -> list[Manifest]:
    return [
        each
        for each in workloads(manifests)
        if pod(each)["spec"]["containers"][0]["image"].split(":")[0].endswith("agent-fleet")
    ]


def _pools(manifests: list[Manifest]) -> list[Manifest]:
    return [each for each in _ours(manifests) if "worker" in _line(each)]


def _line(workload: Manifest) -> list[str]:
    line: list[str] = pod(workload)["spec"]["containers"][0]["args"]
    return line


def _settings(manifests: list[Manifest], start: str) -> dict[str, str]:
    """The data of the configuration map whose name starts so."""
    found = [
        each
        for each in of_kind(manifests, "ConfigMap")
        if each["metadata"]["name"].startswith(start)
    ]
    assert len(found) == 1
    data: dict[str, str] = found[0]["data"]
    return data


@pytest.fixture(scope="module")
def _schemas_read_once() -> Iterator[None]:
    """The validator reads a megabyte of definitions anew for each manifest."""
    with pytest.MonkeyPatch.context() as patch:
        for slow in ("schema_contents", "all_versions"):
            fast = cache(getattr(kubernetes_validate.utils, slow))
            patch.setattr(kubernetes_validate.utils, slow, fast)
        yield


@each_overlay
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.usefixtures("_schemas_read_once")
def test_the_cluster_knows_every_field(overlay: str, version: str) -> None:
    for manifest in built(overlay):
        if manifest["kind"] in KNOWN_ELSEWHERE:
            api_version, fields = KNOWN_ELSEWHERE[manifest["kind"]]
            assert manifest["apiVersion"] == api_version
            assert fields <= set(manifest["spec"]), name(manifest)
        else:
            kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.usefixtures("_schemas_read_once")
def test_a_field_that_no_cluster_knows_is_found() -> None:
    (job,) = of_kind(built("dev"), "Job")
    spec = {**pod(job)["spec"], "serviceAcountName": "x"}
    wrong = {**job, "spec": {**job["spec"], "template": {**pod(job), "spec": spec}}}
    with pytest.raises(kubernetes_validate.ValidationError, match="serviceAcountName"):
        kubernetes_validate.validate(wrong, NEWEST, strict=True)


@each_overlay
def test_no_two_manifests_have_one_name_and_all_have_the_overlays_namespace(overlay: str) -> None:
    manifests = built(overlay)
    names = [name(each) for each in manifests]
    assert len(set(names)) == len(names)
    namespace = of_kind(manifests, "Namespace")[0]["metadata"]["name"]
    for each in manifests:
        assert each["kind"] == "Namespace" or each["metadata"]["namespace"] == namespace, name(each)


@each_overlay
def test_no_secret_stands_in_the_tree(overlay: str) -> None:
    assert not of_kind(built(overlay), "Secret")


@each_overlay
def test_every_map_and_secret_that_is_named_exists(overlay: str) -> None:
    manifests = built(overlay)
    maps = {each["metadata"]["name"]: set(each["data"]) for each in of_kind(manifests, "ConfigMap")}
    for kind, of, keys in _references(manifests):
        known = maps if kind == "map" else SECRETS
        assert of in known, of
        assert keys <= known[of], f"{of} has no {keys - known[of]}"


def _references(manifests: list[Manifest]) -> list[tuple[str, str, set[str]]]:
    """Kind ("map" or "secret"), name and keys of everything that a specification refers to."""
    found = [each for manifest in manifests for each in _look(manifest.get("spec"))]
    assert found
    return found


def _look(node: Any) -> Iterator[tuple[str, str, set[str]]]:
    if isinstance(node, list):
        for each in node:
            yield from _look(each)
    elif isinstance(node, dict):
        for word, of in node.items():
            kind = _REFERENCES.get(word)
            if kind and isinstance(of, dict) and {"name", "secretName"} & set(of):
                yield kind, of.get("name") or of["secretName"], _keys(of)
            elif word == "secretName":
                yield "secret", of, set()
            yield from _look(of)


_REFERENCES = {
    "configMap": "map",
    "configMapRef": "map",
    "configMapKeyRef": "map",
    "secret": "secret",
    "secretRef": "secret",
    "secretKeyRef": "secret",
}


def _keys(reference: dict[str, Any]) -> set[str]:
    named = {reference["key"]} if "key" in reference else set()
    return named | {item["key"] for item in reference.get("items", [])}


def test_the_how_to_makes_every_secret_with_its_keys() -> None:
    text = PAGE.read_text()
    for secret, keys in SECRETS.items():
        for word in {secret, *keys}:
            assert word in text, f"the page does not say how to make {word}"


@each_overlay
def test_every_variable_is_a_setting(overlay: str) -> None:
    manifests = built(overlay)
    fields = Settings.model_fields
    known = {f"FLEET_{field.upper()}" for field in fields}
    known |= {str(field.validation_alias) for field in fields.values()}
    known |= {word for agent in load_catalogue() for word in agent.manifest.environment}
    known |= {"FLOWER_BASIC_AUTH", "FLOWER_BROKER_API", "OTEL_EXPORTER_OTLP_ENDPOINT"}
    for start in ("fleet-settings-", "fleet-model-"):
        values = _settings(manifests, start)
        assert set(values) <= known
        Settings.model_validate(
            {key.removeprefix("FLEET_").lower(): text for key, text in values.items()}
        )
    for workload in _ours(manifests):
        for container in containers(workload):
            named = {each["name"] for each in container.get("env", [])}
            assert named <= known, f"{name(workload)}: {named - known}"


@each_overlay
def test_every_command_is_one(overlay: str) -> None:
    for workload in _ours(built(overlay)):
        for container in containers(workload):
            line = container["args"]
            if line[0] == "fleetctl":
                assert_fleetctl(line, name(workload))
            else:
                assert line[:2] == ["python", "-m"]
                module = line[2].replace(".", "/")
                assert (ROOT / "workers" / module / "__main__.py").exists()


@each_overlay
def test_each_agent_has_a_pool_and_every_pool_takes_triage(overlay: str) -> None:
    pools = _pools(built(overlay))
    assert {_line(each)[2] for each in pools} == set(load_catalogue().names)
    assert all("auto" in _line(each) for each in pools)
    for each in pools:
        assert each["spec"]["selector"]["matchLabels"]["agent-fleet/agent"] == _line(each)[2]


@each_overlay
def test_every_selector_takes_its_own_and_nothing_else(overlay: str) -> None:
    manifests = built(overlay)
    deployed = [each for each in workloads(manifests) if each["kind"] != "Job"]
    labels = {name(each): pod(each)["metadata"]["labels"] for each in workloads(manifests)}
    for each in deployed:
        taken = [of for of in labels if selects(each["spec"]["selector"], labels[of])]
        assert taken == [name(each)]
    for each in of_kind(manifests, "PodDisruptionBudget"):
        taken = [of for of in labels if selects(each["spec"]["selector"], labels[of])]
        assert taken == [f"Deployment/{each['metadata']['name']}"]
    for each in of_kind(manifests, "NetworkPolicy", "PodMonitor"):
        selector = each["spec"].get("podSelector", each["spec"].get("selector"))
        assert any(selects(selector, labels[of]) for of in labels), name(each)


@each_overlay
def test_services_and_monitors_name_ports_that_their_pods_have(overlay: str) -> None:
    manifests = built(overlay)
    for service in of_kind(manifests, "Service"):
        behind = [
            each
            for each in workloads(manifests)
            if selects(
                {"matchLabels": service["spec"]["selector"]}, pod(each)["metadata"]["labels"]
            )
        ]
        assert behind, name(service)
        wanted = {port["targetPort"] for port in service["spec"]["ports"]}
        assert all(wanted <= _ports(each) for each in behind), name(service)
    for monitor in of_kind(manifests, "PodMonitor"):
        for each in workloads(manifests):
            if selects(monitor["spec"]["selector"], pod(each)["metadata"]["labels"]):
                wanted = {point["port"] for point in monitor["spec"]["podMetricsEndpoints"]}
                assert wanted <= _ports(each), name(monitor)


def _ports(workload: Manifest) -> set[str]:
    return {port["name"] for each in containers(workload) for port in each.get("ports", [])}


@each_overlay
def test_processes_listen_where_they_are_asked(overlay: str) -> None:
    manifests = built(overlay)
    settings = _settings(manifests, "fleet-settings-")
    for each in _ours(manifests):
        container = pod(each)["spec"]["containers"][0]
        opened = {port["name"]: port["containerPort"] for port in container.get("ports", [])}
        given = dict(pairwise(container["args"]))
        if "metrics" in opened:
            assert opened["metrics"] == int(settings["FLEET_METRICS_PORT"])
            assert settings["FLEET_METRICS_HOST"] == "0.0.0.0"  # noqa: S104 a pod's own address
        if "http" in opened:
            assert opened["http"] == int(given["--port"])
            assert given["--host"] == "0.0.0.0"  # noqa: S104 as above


@each_overlay
def test_every_pod_keeps_to_the_restricted_profile(overlay: str) -> None:
    """Kubernetes' documentation, "Pod Security Standards", restricted; and more than that."""
    for workload in workloads(built(overlay)):
        spec, where = pod(workload)["spec"], name(workload)
        assert spec["securityContext"]["runAsNonRoot"], where
        assert spec["securityContext"]["runAsUser"] > 0, where
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, where
        assert spec["automountServiceAccountToken"] is False, where
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec), where
        assert all("hostPath" not in volume for volume in spec.get("volumes", [])), where
        for container in containers(workload):
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False, where
            assert security["capabilities"] == {"drop": ["ALL"]}, where
            assert not security.get("privileged"), where
            assert {"cpu", "memory"} <= set(container["resources"]["limits"]), where
            assert {"cpu", "memory"} <= set(container["resources"]["requests"]), where
            assert security["readOnlyRootFilesystem"] or "rabbitmq" in where


@each_overlay
def test_what_runs_is_one_image_and_servers_are_those_of_the_compose_file(overlay: str) -> None:
    manifests = built(overlay)
    ours = {c["image"] for each in _ours(manifests) for c in containers(each)}
    assert len(ours) == 1
    assert re.search(r":[^:/]+$", ours.pop())
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    foreign = {
        container["image"]
        for each in workloads(manifests)
        if each not in _ours(manifests)
        for container in containers(each)
    }
    assert foreign <= {service["image"] for service in compose.values()}


@each_overlay
def test_processes_have_time_to_end_their_step(overlay: str) -> None:
    manifests = built(overlay)
    told = {**_settings(manifests, "fleet-settings-"), **_settings(manifests, "fleet-model-")}
    settings = Settings(
        stop_grace=told["FLEET_STOP_GRACE"], model_timeout=told["FLEET_MODEL_TIMEOUT"]
    )
    assert settings.stop_grace > settings.model_timeout
    for each in _pools(manifests):
        patience = timedelta(seconds=pod(each)["spec"]["terminationGracePeriodSeconds"])
        assert patience >= settings.stop_grace + timedelta(seconds=10)


@each_overlay
def test_an_upgrade_migrates_first_and_keeps_the_old_at_work(overlay: str) -> None:
    manifests = built(overlay)
    (job,) = of_kind(manifests, "Job")
    assert _line(job) == ["fleetctl", "db", "upgrade"]
    for each in _ours(manifests):
        component = each["metadata"]["labels"]["app.kubernetes.io/component"]
        if component in ("pool", "web", "janitor"):
            assert each["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
            (first,) = pod(each)["spec"]["initContainers"]
            assert first["args"][:3] == ["fleetctl", "db", "wait"]


@each_overlay
def test_what_serves_is_probed(overlay: str) -> None:
    for each in workloads(built(overlay)):
        for container in pod(each)["spec"]["containers"]:
            assert each["kind"] == "Job" or "readinessProbe" in container, name(each)
    for each in _pools(built(overlay)):
        probes = pod(each)["spec"]["containers"][0]
        assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(probes)
        ready = _settings(built(overlay), "fleet-settings-")["FLEET_READY_FILE"]
        assert probes["readinessProbe"]["exec"]["command"] == ["test", "-f", ready]


ALLOWED = [
    ("pool", "postgres", 5432),
    ("web", "rabbitmq", 5672),
    ("janitor", "redis", 6379),
    ("upgrade", "postgres", 5432),
    ("pool", "offline-model", 8082),
    ("pool", "business", 8081),
    ("flower", "rabbitmq", 15672),
]
FORBIDDEN = [
    ("flower", "postgres", 5432),
    ("business", "postgres", 5432),
    ("postgres", "pool", 9464),
    ("pool", "web", 8080),
    ("pool", "flower", 5555),
    ("offline-model", "redis", 6379),
    ("pool", "rabbitmq", 15672),
]


@pytest.mark.parametrize(("asks", "asked", "port"), ALLOWED)
def test_who_needs_somebody_reaches_him(asks: str, asked: str, port: int) -> None:
    assert lets_through(built("dev"), asks, asked, port)


@pytest.mark.parametrize(("asks", "asked", "port"), FORBIDDEN)
def test_who_does_not_does_not(asks: str, asked: str, port: int) -> None:
    assert not lets_through(built("dev"), asks, asked, port)


def test_the_ingress_speaks_tls_and_has_no_way_to_metrics() -> None:
    (ingress,) = of_kind(built("production"), "Ingress")
    (rule,) = ingress["spec"]["rules"]
    assert ingress["spec"]["tls"][0]["hosts"] == [rule["host"]]
    paths = {path["path"] for path in rule["http"]["paths"]}
    assert "/v1" in paths
    assert not any("/metrics".startswith(path) for path in paths)


COPIES = {
    "base/desk.toml": "deploy/desk.toml",
    "overlays/dev/rabbitmq.conf": "deploy/rabbitmq/rabbitmq.conf",
    "overlays/dev/50-fleet.json": "deploy/rabbitmq/definitions/50-fleet.json",
}


@pytest.mark.parametrize("copy", COPIES)
def test_files_that_kustomize_cannot_reach_are_copies(copy: str) -> None:
    source = Path(ROOT / COPIES[copy])
    assert (FOLDER / copy).read_text() == source.read_text(), f"cp {source} {FOLDER / copy}"
