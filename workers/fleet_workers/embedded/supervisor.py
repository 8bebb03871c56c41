"""Starts processes in order, keeps them running, and stops them in reverse order."""

import threading
import time
from collections.abc import Callable
from typing import Final, Self

from fleet_contracts.errors import FleetError
from fleet_workers.embedded.child import Child
from fleet_workers.embedded.folder import FleetFolder
from fleet_workers.embedded.guard import Guard
from fleet_workers.embedded.processes import ProcessSpec, Stage

_STARTING_PAUSE_SECONDS: Final = 0.05
_WATCHING_PAUSE_SECONDS: Final = 0.25
_STARTS_BEFORE_GIVING_UP: Final = 3


class StartFailed(FleetError):
    """A process keeps ending, or hanging, before it is ready. The text holds its last lines."""

    code = "start_failed"


class StopRequested(FleetError):
    """Somebody asked for the end while something was waited for."""

    code = "stop_requested"


class Supervisor:
    """The processes of one fleet folder. A context manager: leaving it stops them all.

    `report` gets one line for people at each event. `stop_requested` ends every wait early;
    the supervisor sets it itself when the fleet cannot go on, with `failure` saying why.

    Raises:
        ConfigurationError: A fleet runs in the folder already.
    """

    def __init__(
        self,
        folder: FleetFolder,
        *,
        report: Callable[[str], None] = lambda _: None,
        stop_requested: threading.Event | None = None,
    ) -> None:
        self.stop_requested = stop_requested or threading.Event()
        self.failure: FleetError | None = None
        self._folder = folder
        self._report = report
        self._children: list[Child] = []
        self._ending = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="supervisor", daemon=True)
        lock_fd = folder.lock()
        self._guard = Guard(log=folder.logs / "watchdog.log", lock_fd=lock_fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, *specs: ProcessSpec) -> None:
        """Start processes side by side and return when all are ready.

        Raises:
            StartFailed: One of them cannot be brought up.
            StopRequested: The end was asked for meanwhile.
        """
        for spec in specs:
            log = self._folder.logs / f"{spec.name}.log"
            claim = self._folder.claims / f"{spec.name}.lock"
            self._children.append(Child(spec, log=log, claim=claim, guard=self._guard))
        while not all(child.is_ready for child in self._children):
            if self.stop_requested.is_set():
                raise self.failure or StopRequested("The fleet was stopped while it started.")
            self._step()
            time.sleep(_STARTING_PAUSE_SECONDS)

    def watch(self) -> None:
        """Keep all processes running from now on, in a thread of its own."""
        self._watcher.start()

    def pids(self) -> dict[str, int]:
        """Process ids of what runs now, by name."""
        return {child.spec.name: child.pid for child in self._children if child.pid}

    def stop(self) -> None:
        """Stop everything: the highest stage first, each process with its grace. Idempotent."""
        if self._ending.is_set():
            return
        self._ending.set()
        if self._watcher.is_alive():
            self._watcher.join()
        for stage in sorted(Stage, reverse=True):
            self._stop_stage([child for child in self._children if child.spec.stage is stage])
        self._guard.close()
        self._folder.unlock()

    def kill(self) -> None:
        """Kill every process at once. Takes no lock, so that a signal handler may call it.

        A process that is just being started is the watchdog's to kill, once this one ends.
        """
        self._guard.hurry()
        for child in sorted(self._children, key=lambda child: -child.spec.stage):
            child.kill()

    def _watch(self) -> None:
        try:
            while not self._ending.wait(_WATCHING_PAUSE_SECONDS):
                self._step()
        except FleetError as error:
            self.failure = error
            self.stop_requested.set()

    def _step(self) -> None:
        if not self._guard.is_alive:
            raise StartFailed(
                "The watchdog of this fleet was killed. Without it a crash could leave processes "
                "behind, so the fleet stops: start it again."
            )
        for child in self._children:
            self._mind(child)

    def _mind(self, child: Child) -> None:
        name = child.spec.name
        if (code := child.reap()) is not None:
            if child.failed_starts >= _STARTS_BEFORE_GIVING_UP:
                raise StartFailed(self._obituary(child, f"ended {child.failed_starts} times"))
            self._report(f"{name} ended unexpectedly ({_describe(code)}): it is started again")
        if child.is_due:
            try:
                child.start()
            except OSError as error:
                raise StartFailed(f"{name} could not be started: {error}.") from error
        if child.is_late:
            seconds = child.spec.ready_within_seconds
            raise StartFailed(self._obituary(child, f"was not ready after {seconds:g} s"))
        if child.probe():
            self._report(f"{name} is ready ({child.ready_seconds:.1f} s)")

    def _obituary(self, child: Child, fault: str) -> str:
        return f"{child.spec.name} {fault}. Its last lines, from {child.log}:\n{child.log_tail()}"

    def _stop_stage(self, children: list[Child]) -> None:
        for child in children:
            child.ask_to_end()
        started = time.monotonic()
        while any(child.pid for child in children):
            waited = time.monotonic() - started
            for child in children:
                if child.reap() is None and child.pid and waited > child.spec.grace_seconds:
                    self._report(f"{child.spec.name} did not end in time: it is killed")
                    child.kill()
            time.sleep(_STARTING_PAUSE_SECONDS)


def _describe(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
