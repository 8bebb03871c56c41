"""Real processes of the fleet, started with a readiness file and stopped for sure."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx2

from fleet_client import FleetClient
from support.nursery import ForkedProcess, fork
from support.ports import free_port
from support.stacks import Stack

_CLI = "fleet_workers.cli"
_READY_SECONDS = 60.0
_GRACE_SECONDS = 15.0
_TAIL_CHARACTERS = 3000


class FleetProcess:
    """One process of the fleet with its log. It is ready once `health_url` answers or, without
    one, once it has made its readiness file."""

    def __init__(
        self,
        name: str,
        words: tuple[str, ...],
        environment: Mapping[str, str],
        folder: Path,
        health_url: str | None,
    ) -> None:
        self.name = name
        self.health_url = health_url
        self.was_ended = False
        self.log = folder / f"{name}.log"
        self.ready_file = folder / f"{name}.ready"
        self.process = self._start(words, {**environment, "FLEET_READY_FILE": str(self.ready_file)})

    def _start(
        self, words: tuple[str, ...], environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes] | ForkedProcess:
        # Code that is not this tree's own, or not the fleet's, cannot be forked from what is here.
        if words[0] == _CLI and "PYTHONPATH" not in environment:
            return fork(words, log=self.log, environment=environment)
        # The kernel ends it with us, should the test run itself be killed.
        setpriv = shutil.which("setpriv")
        guard = (setpriv, "--pdeathsig", "KILL", "--") if setpriv else ()
        with self.log.open("ab") as output:
            return subprocess.Popen(
                (*guard, sys.executable, "-P", "-m", *words),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    @property
    def is_ready(self) -> bool:
        if self.health_url is None:
            return self.ready_file.exists()
        try:
            return httpx2.get(self.health_url, timeout=2).status_code == 200
        except httpx2.HTTPError:
            return False

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-_TAIL_CHARACTERS:]

    def kill(self) -> None:
        """End it as a power cut would."""
        self.was_ended = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """Ask it to end; kill what does not."""
        if self.is_alive:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(_GRACE_SECONDS)
        self.kill()


class Fleet:
    """Processes on one stack. Start several, then `wait_ready` once: they start side by side."""

    def __init__(self, stack: Stack, folder: Path, environment: Mapping[str, str]) -> None:
        self.stack = stack
        self.api_url = ""
        self.processes: list[FleetProcess] = []
        self._folder = folder
        self.metrics_folder = folder / "metrics"
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("FLEET_")},
            **stack.environment(),
            "OPENAI_API_KEY": "any",
            "FLEET_MODEL_SMALL": "scripted",
            # A dead worker is noticed soon, and waiting between attempts is short.
            "FLEET_LEASE": "3",
            "FLEET_LEASE_RENEWAL": "0.7",
            "FLEET_RETRY_CAP": "1",
            "FLEET_JANITOR_INTERVAL": "0.4",  # at 0.2 s idle fleets take a fifth of two processors
            "FLEET_METRICS_TARGETS": str(self.metrics_folder),
            **environment,
        }

    def start_worker(self, *agents: str, slots: int = 10, **environment: str) -> FleetProcess:
        words = (_CLI, "worker", *agents, "--slots", str(slots))
        return self._start("worker", words, environment=environment)

    def start_janitor(self) -> FleetProcess:
        return self._start("janitor", (_CLI, "janitor"))

    def start_web(self) -> FleetProcess:
        port = free_port()
        self.api_url = f"http://127.0.0.1:{port}"
        words = (_CLI, "web", "--port", str(port))
        return self._start("web", words, health_url=f"{self.api_url}/readyz")

    def start_flower(self, *, user: str, password: str, **environment: str) -> str:
        """Start Flower; gives its base URL."""
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        environment["FLOWER_BASIC_AUTH"] = f"{user}:{password}"
        words = (_CLI, "flower", "--port", str(port))
        self._start("flower", words, environment=environment, health_url=f"{url}/healthcheck")
        return url

    def start_service(self, module: str, *words: str) -> str:
        """Start a module that takes --port and answers /healthz; gives its base URL."""
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        every = (module, "--port", str(port), *words)
        self._start(module.rpartition(".")[2], every, health_url=f"{url}/healthz")
        return url

    def wait_ready(self) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        for each in self.processes:
            while each.is_alive and not each.is_ready:
                assert time.monotonic() < deadline, f"{each.name} is not ready:\n{each.tail()}"
                time.sleep(0.05)
            assert each.is_alive or each.was_ended, f"{each.name} ended:\n{each.tail()}"

    def client(self, *, over_broker: bool = True) -> FleetClient:
        return FleetClient(
            broker_url=self.stack.broker_url if over_broker else None,
            api_url=self.api_url,
            api_key=self.stack.api_key,
            tenant="acme",
        )

    def stop(self) -> None:
        """Stop all, the last started first."""
        for each in self.processes:
            if each.is_alive:
                each.process.terminate()
        for each in reversed(self.processes):
            each.stop()

    def _start(
        self,
        name: str,
        words: tuple[str, ...],
        *,
        environment: Mapping[str, str] | None = None,
        health_url: str | None = None,
    ) -> FleetProcess:
        every = {**self._environment, **(environment or {})}
        numbered = f"{len(self.processes)}_{name}"
        process = FleetProcess(numbered, words, every, self._folder, health_url)
        self.processes.append(process)
        return process


@contextlib.contextmanager
def running_fleet(stack: Stack, folder: Path, environment: Mapping[str, str]) -> Iterator[Fleet]:
    """A fleet without processes yet; all that are started end with the block."""
    folder.mkdir(parents=True, exist_ok=True)
    fleet = Fleet(stack, folder, environment)
    try:
        yield fleet
    finally:
        fleet.stop()
