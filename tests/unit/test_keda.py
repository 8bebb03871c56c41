"""The KEDA component, without a cluster: its fields, what it names, and what its queries say."""

import shutil
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleet_contracts.topology import agent_address
from fleet_workers.agents import load_catalogue
from fleet_workers.settings import Settings
from support.manifests import FOLDER, Manifest, built_from, of_kind, pod

# As in KEDA's API keda.sh/v1alpha1 of version 2.16, which later ones extend.
FIELDS = {
    "spec": {
        *("scaleTargetRef", "pollingInterval", "cooldownPeriod", "initialCooldownPeriod"),
        *("idleReplicaCount", "minReplicaCount", "maxReplicaCount", "fallback", "advanced"),
        "triggers",
    },
    "trigger": {"type", "name", "metadata", "metricType", "authenticationRef", "useCachedMetrics"},
    "prometheus": {
        "serverAddress",
        "query",
        "threshold",
        "activationThreshold",
        "ignoreNullValues",
    },
    "rabbitmq": {"protocol", "queueName", "mode", "value", "activationValue", "vhostName"},
}


@pytest.fixture(scope="module")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> list[Manifest]:
    folder = tmp_path_factory.mktemp("overlay")
    ways = [FOLDER / "base", FOLDER / "components/keda"]
    base, keda = (Path(*[".."] * len(folder.resolve().parts[1:]), *each.parts[1:]) for each in ways)
    (folder / "kustomization.yaml").write_text(
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
        f"namespace: agent-fleet\nresources: ['{base}']\ncomponents: ['{keda}']\n"
    )
    return built_from(folder)


@pytest.fixture(scope="module")
def scaled(manifests: list[Manifest]) -> dict[str, Manifest]:
    """Scaled objects by agent."""
    agents = {
        each["metadata"]["name"]: pod(each)["metadata"]["labels"]["agent-fleet/agent"]
        for each in of_kind(manifests, "Deployment")
        if each["metadata"]["name"].startswith("pool-")
    }
    objects = of_kind(manifests, "ScaledObject")
    return {agents[each["spec"]["scaleTargetRef"]["name"]]: each["spec"] for each in objects}


def triggers(spec: Manifest, kind: str) -> Iterator[tuple[Manifest, dict[str, Any]]]:
    for each in spec["triggers"]:
        if each["type"] == kind:
            yield each, each["metadata"]


def test_each_agents_pool_is_scaled_and_nobody_else_says_how_many(
    manifests: list[Manifest], scaled: dict[str, Manifest]
) -> None:
    assert set(scaled) == set(load_catalogue().names)
    for each in of_kind(manifests, "Deployment"):
        is_pool = each["metadata"]["name"].startswith("pool-")
        assert ("replicas" not in each["spec"]) is is_pool, each["metadata"]["name"]


def test_every_field_is_one_that_keda_knows(scaled: dict[str, Manifest]) -> None:
    for spec in scaled.values():
        assert set(spec) <= FIELDS["spec"]
        assert 0 <= spec["minReplicaCount"] < spec["maxReplicaCount"]
        assert set(spec["fallback"]) == {"failureThreshold", "replicas"}
        names = [each["name"] for each in spec["triggers"]]
        assert len(set(names)) == len(names)
        for each in spec["triggers"]:
            assert set(each) <= FIELDS["trigger"]
            assert set(each["metadata"]) <= FIELDS[each["type"]]
            assert all(isinstance(value, str) for value in each["metadata"].values())


def test_a_pool_that_may_have_no_pod_is_started_by_the_first_message(
    manifests: list[Manifest], scaled: dict[str, Manifest]
) -> None:
    (authentication,) = of_kind(manifests, "TriggerAuthentication")
    (host,) = authentication["spec"]["secretTargetRef"]
    assert (host["parameter"], host["name"], host["key"]) == (
        *("host", "fleet-servers"),
        "FLEET_BROKER_URL",
    )
    for agent, spec in scaled.items():
        found = list(triggers(spec, "rabbitmq"))
        assert agent_address(agent) in {metadata["queueName"] for _, metadata in found}
        assert {metadata["protocol"] for _, metadata in found} == {"amqp"}
        name = authentication["metadata"]["name"]
        assert all(each["authenticationRef"] == {"name": name} for each, _ in found)
    # Requests that name no agent need a pool that is always there.
    always = [spec for spec in scaled.values() if spec["minReplicaCount"] > 0]
    queues = {
        metadata["queueName"] for spec in always for _, metadata in triggers(spec, "rabbitmq")
    }
    assert agent_address("auto") in queues


def test_a_pod_that_is_scaled_away_has_time_to_hand_its_tasks_back(
    manifests: list[Manifest],
) -> None:
    (data,) = [
        each["data"]
        for each in of_kind(manifests, "ConfigMap")
        if each["metadata"]["name"].startswith("fleet-settings")
    ]
    grace = Settings.model_validate({"stop_grace": data["FLEET_STOP_GRACE"]}).stop_grace
    for each in of_kind(manifests, "Deployment"):
        if each["metadata"]["name"].startswith("pool-"):
            seconds = pod(each)["spec"]["terminationGracePeriodSeconds"]
            assert timedelta(seconds=seconds) > grace + timedelta(seconds=5)


SITUATIONS = {
    # name: (busy slots, slots, queued, oldest seconds), (load, oldest)
    "quiet": ((3, 100, 0, 0), (3, 0)),
    "full": ((100, 100, 400, 30), (500, 30)),
    "paused": ((0, 100, 4000, 3600), (0, 0)),
    "none_there": ((0, 0, 7, 20), (7, 20)),
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_the_queries_say_how_many_slots_are_needed(
    scaled: dict[str, Manifest], tmp_path: Path, situation: str
) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed: `apt-get install prometheus` brings it.")
    seen, expected = SITUATIONS[situation]
    spec = scaled["onboarding"]
    queries = [metadata["query"] for _, metadata in triggers(spec, "prometheus")]
    names = ("fleet_pool_busy_slots", "fleet_pool_slots", "fleet_queue_depth")
    series = [
        {
            # Two web processes tell the same.
            "series": f'{name}{{namespace="agent-fleet", agent="onboarding", pod="{each}"}}',
            "values": f"{value}x5",
        }
        for name, value in zip((*names, "fleet_queue_oldest_seconds"), seen, strict=True)
        for each in (1, 2)
    ]
    checks = [
        {
            "expr": query,
            "eval_time": "2m",
            "exp_samples": [{"labels": "{}", "value": value}],
        }
        for query, value in zip(queries, expected, strict=True)
    ]
    test = {
        "rule_files": [],
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": series, "promql_expr_test": checks}],
    }
    file = tmp_path / "test.yml"
    file.write_text(yaml.safe_dump(test))
    done = subprocess.run(
        ("promtool", "test", "rules", str(file)), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
