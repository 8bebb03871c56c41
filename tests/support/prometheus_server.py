"""A Prometheus of the tests' own, from the Debian package, that scrapes what a folder names."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from support.ports import free_port

_START_SECONDS = 30.0
_CONFIGURATION = """
global: {{scrape_interval: 1s, evaluation_interval: 1s, external_labels: {{fleet_docs: ""}}}}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: fleet
    scrape_timeout: 900ms
    file_sd_configs: [{{files: ["{targets}/*.json"], refresh_interval: 1s}}]
"""


def need_program(name: str) -> str:
    """The path of `prometheus` or `promtool`; without it the test is skipped, and fails on CI."""
    found = shutil.which(name)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is not installed. On CI it must be: apt-get install prometheus")
        pytest.skip(f"{name} is not installed: apt-get install prometheus, to run this test too")
    return found


class PrometheusServer:
    """What a test asks of it."""

    def __init__(self, url: str) -> None:
        self._http = httpx2.Client(base_url=url, timeout=20)

    def get(self, path: str, **parameters: str) -> Any:
        """The `data` of an answer of its API, which must be a success."""
        answer = self._http.get(f"/api/v1/{path}", params=parameters)
        assert answer.status_code == 200, f"{path} {parameters}: {answer.text[:500]}"
        return answer.json()["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that an expression gives now; fails where it cannot be parsed."""
        found: list[dict[str, Any]] = self.get("query", query=expression)["result"]
        return found

    def targets(self) -> Mapping[str, str]:
        """Health by process."""
        active = self.get("targets", state="active")["activeTargets"]
        return {each["labels"]["process"]: each["health"] for each in active}

    def close(self) -> None:
        self._http.close()

    def is_ready(self) -> bool:
        try:
            return self._http.get("/-/ready").status_code == 200
        except httpx2.HTTPError:
            return False


@contextmanager
def running_prometheus(folder: Path, *, targets: Path, rules: Path) -> Iterator[PrometheusServer]:
    """Scrapes once a second whatever the files in `targets` name, and evaluates `rules`."""
    program, port = need_program("prometheus"), free_port()
    folder.mkdir(parents=True, exist_ok=True)
    configuration = folder / "prometheus.yml"
    configuration.write_text(_CONFIGURATION.format(rules=rules, targets=targets))
    words = (
        f"--config.file={configuration}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    with (folder / "prometheus.log").open("wb") as output:
        process = subprocess.Popen((program, *words), stdout=output, stderr=output)
    server = PrometheusServer(f"http://127.0.0.1:{port}")
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not server.is_ready():
            assert process.poll() is None, (folder / "prometheus.log").read_text()[-2000:]
            assert time.monotonic() < deadline, "Prometheus does not start."
            time.sleep(0.1)
        yield server
    finally:
        server.close()
        process.kill()
        process.wait()
