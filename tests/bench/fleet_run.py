"""A fleet for one measurement: real processes with the settings that users have by default."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy import func, select

from fleet_workers.broker.postman import Postman
from fleet_workers.settings import Settings
from fleet_workers.store.journal import StepKind, read_steps
from fleet_workers.store.tables import tasks
from fleet_workers.wiring import WorkerParts, open_core, open_worker
from support.fleet_processes import Fleet, FleetProcess, running_fleet
from support.stacks import Stack

AGENT = "bench"
AGENTS = Path(__file__).parent / "agents"
TESTS = Path(__file__).parents[1]
TEXT = "How are you?"
_FOREIGN = ("FLEET_", "OPENAI_")  # settings of the caller's own fleet


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchFleet:
    """A fleet and its worker processes."""

    fleet: Fleet
    stack: Stack
    workers: tuple[FleetProcess, ...]

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers."""
        return [each.process.pid for each in self.workers]

    def succeeded(self) -> int:
        """Number of tasks that have succeeded."""
        return count_succeeded(self.stack)


@contextmanager
def bench_fleet(
    stack: Stack,
    *,
    workers: int = 1,
    slots: int,
    janitor: bool = False,
    web: bool = False,
    model_url: str | None = None,
    agent: str = AGENT,
    environment: Mapping[str, str] | None = None,
) -> Iterator[BenchFleet]:
    """Start processes and wait until they are ready; they end with the block.

    Without `model_url` the workers have a model of their own that answers at once.
    `environment` is what all processes are given besides.
    """
    every = {
        **DEFAULTS,
        **(environment or {}),
        **({"OPENAI_BASE_URL": f"{model_url}/v1"} if model_url else {}),
    }
    with (
        tempfile.TemporaryDirectory() as folder,
        running_fleet(stack, Path(folder), every) as fleet,
    ):
        if janitor:
            fleet.start_janitor()
        if web:
            fleet.start_web()
        started = tuple(
            _start_worker(stack, Path(folder), number, (agent, "--slots", str(slots)), every)
            for number in range(workers)
        )
        fleet.processes.extend(started)
        fleet.wait_ready()
        yield BenchFleet(fleet=fleet, stack=stack, workers=started)


@contextmanager
def bench_worker(stack: Stack) -> Iterator[WorkerParts]:
    """What a worker is made of, in this process, for the instant model."""
    settings = stack.settings(
        agents_path=(AGENTS,), model_small="instant", openai_api_key=SecretStr("any")
    )
    with (
        open_core(settings, application="bench", ping=False) as core,
        open_worker(core) as parts,
    ):
        yield parts


def fill_queue(stack: Stack, count: int, *, text: str = TEXT) -> None:
    """Put tasks on the queue of a fleet that is not running yet."""
    postman = Postman(stack.engine, stack.broker_url)
    postman.declare([AGENT])
    postman.close()
    submit_many(Fleet(stack, Path(), {}), count, text=f"{text} ")


def submit_many(fleet: Fleet, count: int, *, text: str = f"{TEXT} ", agent: str = AGENT) -> None:
    """Submit tasks over the broker, each with its number behind the text."""
    items = ({"text": f"{text}{each}", "agent": agent} for each in range(count))
    with fleet.client() as client:
        for result in client.submit_many(items):
            if result.error is not None:
                raise result.error


def count_succeeded(stack: Stack) -> int:
    """Number of tasks that have succeeded."""
    query = select(func.count()).select_from(tasks).where(tasks.c.state == "succeeded")
    with stack.engine.begin() as connection:
        return connection.execute(query).scalar_one()


def asked_at(stack: Stack, task_id: UUID) -> float:
    """When the instant model was asked about a task, in Unix seconds.

    The step is committed by then, for a plan is written as started before its model is called.
    """
    with stack.engine.begin() as connection:
        steps = read_steps(connection, task_id)
    plans = [each for each in steps if each.kind is StepKind.PLAN and each.result is not None]
    return float((plans[-1].result or {})["text"])


def _start_worker(
    stack: Stack, folder: Path, number: int, words: tuple[str, ...], environment: dict[str, str]
) -> FleetProcess:
    every = {
        **{name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)},
        **stack.environment(),
        **environment,
    }
    program = "fleet_workers.cli" if "OPENAI_BASE_URL" in environment else "bench.fleet_worker"
    return FleetProcess(f"bench_{number}", (program, "worker", *words), every, folder, None)


def _default_seconds(name: str) -> str:
    duration: timedelta = Settings.model_fields[name].default
    return str(duration.total_seconds())


DEFAULTS = {
    "OPENAI_API_KEY": "any",
    "FLEET_MODEL_SMALL": "instant",
    "FLEET_AGENTS_PATH": str(AGENTS),
    "FLEET_LOG_LEVEL": "WARNING",
    "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")]).rstrip(":"),
    # Tests shorten these; a benchmark wants what users have.
    **{
        f"FLEET_{name.upper()}": _default_seconds(name)
        for name in ("lease", "lease_renewal", "retry_cap", "janitor_interval")
    },
}
