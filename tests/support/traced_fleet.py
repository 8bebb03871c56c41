"""A fleet whose traces go to a collector in the test process, with agents of its own."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fleet_workers.testing import Reply, ScriptedModel
from support.bench import script
from support.fleet_processes import Fleet, FleetProcess, running_fleet
from support.json_service import json_service
from support.otlp_receiver import Collector, otlp_receiver
from support.parcel_shop import ParcelShop
from support.parcels_fleet import AGENTS, script_key
from support.stacks import Stack

TRACED = "traced"
DOOMED = "doomed"
"""The agent whose workers come and go; `traced` has one for all tests."""


class NotingShop(ParcelShop):
    """Notes the trace contexts that requests come with, by order."""

    def __init__(self) -> None:
        super().__init__()
        self.traces: dict[str, list[str]] = {}

    def answer(
        self, path: str, body: dict[str, Any], headers: Mapping[str, str]
    ) -> tuple[int, Any]:
        self.traces.setdefault(body["order_id"], []).append(headers.get("traceparent", ""))
        return super().answer(path, body, headers)


@dataclass(kw_only=True)
class TracedFleet:
    """Web, janitor and a worker for `traced`, that trace to `collector`."""

    fleet: Fleet
    shop: NotingShop
    collector: Collector
    worker: FleetProcess
    scripts: dict[str, list[Reply]] = field(default_factory=dict)

    def script(self, *lines: Reply) -> str:
        return script(self, *lines)

    def produce(self, *tasks: dict[str, Any]) -> list[str]:
        """Hand tasks in from a process with traces of its own; gives their ids."""
        stack = self.fleet.stack
        done = subprocess.run(
            (sys.executable, "-m", "support.traced_producer"),
            input=json.dumps(tasks),
            env={
                **os.environ,
                "PYTHONPATH": str(Path(__file__).parents[1]),
                "FLEET_API_URL": self.fleet.api_url,
                "FLEET_API_KEY": stack.api_key,
                "FLEET_BROKER_URL": stack.broker_url,
                "OTEL_EXPORTER_OTLP_ENDPOINT": self.collector.url,
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found: list[str] = json.loads(done.stdout)
        return found


@contextlib.contextmanager
def open_traced_fleet(
    stack: Stack, folder: Path, environment: Mapping[str, str] | None = None
) -> Iterator[TracedFleet]:
    """Start it; all ends with the block."""
    copy_agents(folder / "agents")
    shop = NotingShop()
    scripts: dict[str, list[Reply]] = {}
    model = ScriptedModel(scripts=scripts, key=script_key)
    with (
        otlp_receiver() as collector,
        json_service(shop.answer) as shop_url,
        model.serve() as server,
    ):
        told = {
            "FLEET_AGENTS_PATH": str(folder / "agents"),
            "PARCELS_URL": shop_url,
            "OPENAI_BASE_URL": server.url,
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            **(environment or {}),
        }
        with running_fleet(stack, folder, told) as fleet:
            worker = fleet.start_worker(TRACED)
            fleet.start_web()
            fleet.start_janitor()
            fleet.wait_ready()
            yield TracedFleet(
                fleet=fleet, shop=shop, collector=collector, worker=worker, scripts=scripts
            )


def copy_agents(folder: Path) -> None:
    """Put the parcels agent there, once under each of this module's names."""
    for name in (TRACED, DOOMED):
        copy = folder / name
        shutil.copytree(AGENTS / "parcels", copy, ignore=shutil.ignore_patterns("__pycache__"))
        manifest = copy / "agent.toml"
        manifest.write_text(manifest.read_text().replace('name = "parcels"', f'name = "{name}"'))
