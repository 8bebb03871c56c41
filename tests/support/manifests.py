"""What the Kubernetes overlays come to, built by kustomize as a cluster would get it."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

FOLDER = Path(__file__).parents[2] / "deploy/kubernetes"
Manifest = dict[str, Any]


def overlays() -> list[str]:
    return sorted(path.parent.name for path in FOLDER.glob("overlays/*/kustomization.yaml"))


@cache
def built(overlay: str) -> list[Manifest]:
    """All manifests of an overlay, as `built_from`."""
    return built_from(FOLDER / "overlays" / overlay)


def built_from(folder: Path) -> list[Manifest]:
    """All manifests of a folder. Without kustomize it skips the test, and fails it on CI."""
    for words in (("kubectl", "kustomize"), ("kustomize", "build")):
        if shutil.which(words[0]):
            done = subprocess.run(
                (*words, str(folder)), capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
            assert not done.stderr, done.stderr  # it warns of what will not be understood later
            return [each for each in yaml.safe_load_all(done.stdout) if each]
    reason = "Neither kubectl nor kustomize is installed."
    if os.environ.get("CI"):
        pytest.fail(reason)
    return pytest.skip(reason)


def of_kind(manifests: list[Manifest], *kinds: str) -> list[Manifest]:
    return [each for each in manifests if each["kind"] in kinds]


def name(manifest: Manifest) -> str:
    return f"{manifest['kind']}/{manifest['metadata']['name']}"


def workloads(manifests: list[Manifest]) -> list[Manifest]:
    return of_kind(manifests, "Deployment", "StatefulSet", "Job")


def pod(workload: Manifest) -> Manifest:
    """The template of a workload's pods: `metadata` and `spec`."""
    template: Manifest = workload["spec"]["template"]
    return template


def containers(workload: Manifest) -> Iterator[Manifest]:
    """Containers and init containers."""
    spec = pod(workload)["spec"]
    yield from spec["containers"]
    yield from spec.get("initContainers", [])


def selects(selector: Manifest, labels: Manifest) -> bool:
    """Tell whether a label selector takes something with these labels."""
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for rule in selector.get("matchExpressions") or []:
        assert rule["operator"] == "In", rule
        if labels.get(rule["key"]) not in rule["values"]:
            return False
    return True
