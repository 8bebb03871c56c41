"""Real processes of the fleet, started with a readiness file and stopped for sure."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx2

from fleet_client import FleetClient
from support.stacks import Stack

_READY_SECONDS = 60.0
_GRACE_SECONDS = 15.0
_TAIL_CHARACTERS = 3000


class FleetProcess:
    """One process of the fleet with its log."""

    def __init__(
        self, name: str, words: tuple[str, ...], environment: Mapping[str, str], folder: Path
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self.ready_file = folder / f"{name}.ready"
        # The kernel ends it with us, should the test run itself be killed.
        setpriv = shutil.which("setpriv")
        guard = (setpriv, "--pdeathsig", "KILL", "--") if setpriv else ()
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                (*guard, sys.executable, "-P", "-m", "fleet_workers.cli", *words),
                env={**environment, "FLEET_READY_FILE": str(self.ready_file)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-_TAIL_CHARACTERS:]

    def kill(self) -> None:
        """End it as a power cut would."""
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
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("FLEET_")},
            **stack.environment(),
            "OPENAI_API_KEY": "any",
            "FLEET_MODEL_SMALL": "scripted",
            # A dead worker is noticed soon, and waiting between attempts is short.
            "FLEET_LEASE": "PT3S",
            "FLEET_LEASE_RENEWAL": "PT0.7S",
            "FLEET_RETRY_CAP": "PT1S",
            "FLEET_JANITOR_INTERVAL": "PT0.2S",
            **environment,
        }

    def start_worker(self, *agents: str, slots: int = 10, **environment: str) -> FleetProcess:
        return self._start("worker", *agents, "--slots", str(slots), **environment)

    def start_janitor(self) -> FleetProcess:
        return self._start("janitor")

    def start_web(self) -> FleetProcess:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.api_url = f"http://127.0.0.1:{port}"
        return self._start("web", "--port", str(port))

    def wait_ready(self) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        for each in self.processes:
            while not self._is_ready(each):
                assert each.is_alive, f"{each.name} ended:\n{each.tail()}"
                assert time.monotonic() < deadline, f"{each.name} is not ready:\n{each.tail()}"
                time.sleep(0.05)

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

    def _start(self, *words: str, **environment: str) -> FleetProcess:
        name = f"{len(self.processes)}_{words[0]}"
        every = {**self._environment, **environment}
        self.processes.append(FleetProcess(name, words, every, self._folder))
        return self.processes[-1]

    def _is_ready(self, process: FleetProcess) -> bool:
        if not process.name.endswith("_web"):
            return process.ready_file.exists() or not process.is_alive
        try:
            return httpx2.get(f"{self.api_url}/readyz", timeout=2).status_code == 200
        except httpx2.HTTPError:
            return False


@contextlib.contextmanager
def running_fleet(stack: Stack, folder: Path, environment: Mapping[str, str]) -> Iterator[Fleet]:
    """A fleet without processes yet; all that are started end with the block."""
    folder.mkdir(parents=True, exist_ok=True)
    fleet = Fleet(stack, folder, environment)
    try:
        yield fleet
    finally:
        fleet.stop()
