"""Starts processes in order, keeps them running, and stops them in reverse order."""

import threading
import time
from collections.abc import Callable
from typing import Final, Self

from fleet_contracts.errors import FleetError
from fleet_workers.embedded.child import Child, Standing
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
        self._children: tuple[Child, ...] = ()
        self._changing = threading.Lock()
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
            self.add(spec)
        while not all(child.is_ready for child in self._children):
            if self.stop_requested.is_set():
                raise self.failure or StopRequested("The fleet was stopped while it started.")
            self._step()
            time.sleep(_STARTING_PAUSE_SECONDS)

    def watch(self) -> None:
        """Keep all processes running from now on, in a thread of its own."""
        self._watcher.start()

    def add(self, spec: ProcessSpec) -> None:
        """Have one more process run; whoever watches starts it. Any thread may ask for it."""
        child = Child(
            spec,
            log=self._folder.logs / f"{spec.name}.log",
            claim=self._folder.claims / f"{spec.name}.lock",
            guard=self._guard,
        )
        with self._changing:
            self._children = (*self._children, child)

    def retire(self, name: str) -> None:
        """Have a process end within its grace and not come back. Any thread may ask for it."""
        for child in self._children:
            if child.spec.name == name:
                child.is_leaving = True

    def standing(self) -> dict[str, Standing]:
        """How each process stands, by name. Any thread may ask."""
        return {child.spec.name: child.standing() for child in self._children}

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
            if child.is_leaving:
                self._see_off(child)
                continue
            try:
                self._mind(child)
            except FleetError as error:
                if not child.spec.is_spare:
                    raise
                self._report(f"{error}\n{child.spec.name} is given up; the others go on.")
                child.kill()
                child.is_leaving = True

    def _see_off(self, child: Child) -> None:
        """Bring the end of a process about that shall not come back, and forget it then."""
        child.ask_to_end()
        if child.is_overdue:
            self._report(f"{child.spec.name} did not end in time: it is killed")
            child.kill()
        child.reap()
        if child.pid is None:
            self._report(f"{child.spec.name} has ended")
            with self._changing:
                self._children = tuple(each for each in self._children if each is not child)

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
        while any(child.pid for child in children):
            for child in children:
                if child.reap() is None and child.is_overdue:
                    self._report(f"{child.spec.name} did not end in time: it is killed")
                    child.kill()
            time.sleep(_STARTING_PAUSE_SECONDS)


def _describe(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
