"""A pool under the local fleet's own supervisor, on servers of the tests, that may be scaled."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fleet_workers.embedded.autoscaler import Autoscaler, pool_process
from fleet_workers.embedded.folder import FleetFolder
from fleet_workers.embedded.pool_view import looking
from fleet_workers.embedded.processes import ProcessSpec, Stage
from fleet_workers.embedded.readiness import file_probe
from fleet_workers.embedded.scaling import Bounds, Rules
from fleet_workers.embedded.supervisor import Supervisor
from support.stacks import Stack


@dataclass(frozen=True, kw_only=True)
class PoolSpecs:
    """How the processes of one pool are started: `module` stands for `fleet_workers.cli`."""

    folder: Path
    environment: Mapping[str, str]
    slots: int
    module: str
    grace_seconds: float

    def pool_spec(self, agent: str, number: int, *, is_spare: bool = False) -> ProcessSpec:
        words = (self.module, "worker", agent, "--slots", str(self.slots))
        return self._spec(pool_process(agent, number), words, is_spare=is_spare)

    def janitor_spec(self) -> ProcessSpec:
        return self._spec("janitor", ("fleet_workers.cli", "janitor"))

    def queues(self, agent: str) -> tuple[str, ...]:
        return (agent,)

    def _spec(self, name: str, words: tuple[str, ...], *, is_spare: bool = False) -> ProcessSpec:
        ready = self.folder / f"{name}.ready"
        return ProcessSpec(
            name=name,
            argv=(sys.executable, "-P", "-m", *words),
            env={**self.environment, "FLEET_READY_FILE": str(ready)},
            probe=file_probe(ready),
            stage=Stage.WORKERS,
            grace_seconds=self.grace_seconds,
            ready_within_seconds=120.0,  # on a machine that many tests share
            removed_first=(ready,),
            is_spare=is_spare,
        )


@dataclass(kw_only=True)
class ScaledPool:
    """A janitor and a pool at work. `lines` are what a user would be told."""

    agent: str
    supervisor: Supervisor
    scaler: Autoscaler
    specs: PoolSpecs
    lines: list[str] = field(default_factory=list)

    def names(self) -> list[str]:
        """The pool's processes that take tasks."""
        prefix = pool_process(self.agent, 1)
        return sorted(
            name
            for name, each in self.supervisor.standing().items()
            if name.startswith(prefix) and each.is_ready and not each.is_leaving
        )

    def pids(self) -> dict[str, int]:
        """Process ids of the pool's processes, those that end included."""
        prefix = pool_process(self.agent, 1)
        return {
            name: pid for name, pid in self.supervisor.pids().items() if name.startswith(prefix)
        }

    def bound(self, bounds: Bounds) -> None:
        """Give the pool other bounds, as a user would by another start."""
        self.scaler._scalers[self.agent].bounds = bounds


@contextmanager
def scaled_pool(
    stack: Stack,
    folder: Path,
    *,
    agent: str,
    bounds: Bounds,
    slots: int,
    environment: Mapping[str, str],
    rules: Rules | None = None,
    module: str = "fleet_workers.cli",
    stop_grace_seconds: float = 30.0,
) -> Iterator[ScaledPool]:
    """Start a janitor and the pool's least number of processes; they end with the block."""
    ours = ("FLEET_", "OPENAI_")
    specs = PoolSpecs(
        folder=folder,
        environment={
            **{name: value for name, value in os.environ.items() if not name.startswith(ours)},
            **stack.environment(),
            "FLEET_STOP_GRACE": str(stop_grace_seconds),
            **environment,
        },
        slots=slots,
        module=module,
        grace_seconds=stop_grace_seconds + 5,
    )
    settings = stack.settings()
    lines: list[str] = []
    with (
        Supervisor(FleetFolder(folder / "fleet"), report=lines.append) as supervisor,
        looking(settings, [agent]) as look,
    ):
        scaler = Autoscaler(
            {agent: bounds},
            processes=supervisor,
            specs=specs,
            look=look,
            report=lines.append,
            rules=rules,
        )
        pool = range(1, bounds.least + 1)
        supervisor.start(specs.janitor_spec(), *(specs.pool_spec(agent, each) for each in pool))
        supervisor.watch()
        scaler.start()
        try:
            yield ScaledPool(
                agent=agent, supervisor=supervisor, scaler=scaler, specs=specs, lines=lines
            )
        finally:
            scaler.stop()
