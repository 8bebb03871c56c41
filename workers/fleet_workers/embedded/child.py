"""One supervised process through its starts, readiness and ends."""

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fleet_workers.embedded.guard import Guard
from fleet_workers.embedded.processes import ProcessSpec, kill_group

_FIRST_PAUSE_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 15.0
_STEADY_SECONDS: Final = 60.0
"""A process that ran this long is past its trouble: the next pause is the first again."""
_TAIL_LINES: Final = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a supervised process stands. `pid` is None between an end and the next start."""

    pid: int | None
    is_ready: bool
    is_leaving: bool


class Child:
    """A process and its history. The supervisor's loop alone calls it."""

    def __init__(self, spec: ProcessSpec, *, log: Path, claim: Path, guard: Guard) -> None:
        self.spec = spec
        self.log = log
        self.is_ready = False
        self.ready_seconds = 0.0
        self.failed_starts = 0
        """Ends before readiness, in a row."""
        self.is_leaving = False
        """It ends for good: nothing is started again."""
        self._claim = claim
        self._guard = guard
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._asked_at: float | None = None
        self._crashes = 0
        self._restart_at = 0.0
        if log.exists():
            log.replace(log.with_suffix(".log.old"))

    @property
    def pid(self) -> int | None:
        """Process id, or None between an end and the next start."""
        return self._process.pid if self._process else None

    @property
    def is_due(self) -> bool:
        """True where it shall run, does not, and its pause is over."""
        waits = self._process is None and not self.is_leaving
        return waits and time.monotonic() >= self._restart_at

    @property
    def is_late(self) -> bool:
        """True where it runs, but did not become ready in its time."""
        waited = time.monotonic() - self._started_at
        running = self._process is not None
        starting = running and not self.is_ready and not self.is_leaving
        return starting and waited > self.spec.ready_within_seconds

    @property
    def is_overdue(self) -> bool:
        """True where it runs on after the grace that followed the stop signal."""
        if self._process is None or self._asked_at is None:
            return False
        return time.monotonic() - self._asked_at > self.spec.grace_seconds

    def start(self) -> None:
        """Start it, after what an earlier run left of it has ended.

        Raises:
            OSError: It could not be started.
            StillRuns: What an earlier run left does not end.
        """
        self.is_ready = False
        self._asked_at = None
        self._started_at = time.monotonic()
        self._process = self._guard.launch(self.spec, log=self.log, claim=self._claim)

    def probe(self) -> bool:
        """Ask a running process whether it is ready now; true once, when it becomes so."""
        if self._process is None or self.is_ready or not self.spec.probe():
            return False
        self.is_ready = True
        self.failed_starts = 0
        self.ready_seconds = time.monotonic() - self._started_at
        return True

    def reap(self) -> int | None:
        """Take note of its end: the exit code, negative for a signal, or None while it runs."""
        if self._process is None or (code := self._process.poll()) is None:
            return None
        kill_group(self._process.pid)
        self._guard.forget(self._process.pid)
        self._process = None
        ran_seconds = time.monotonic() - self._started_at
        self._crashes = 1 if ran_seconds > _STEADY_SECONDS else self._crashes + 1
        self.failed_starts += not self.is_ready
        pause = _FIRST_PAUSE_SECONDS * 2 ** min(self._crashes - 1, 10)
        self._restart_at = time.monotonic() + min(pause, _LONGEST_PAUSE_SECONDS)
        return code

    def ask_to_end(self) -> None:
        """Send the stop signal, where it runs and was not sent it before."""
        if self._asked_at is not None:
            return
        self._asked_at = time.monotonic()
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(self.spec.stop_signal)

    def kill(self) -> None:
        """Kill it and its group at once, where it runs."""
        if self._process is not None and self._process.poll() is None:
            kill_group(self._process.pid)

    def standing(self) -> Standing:
        """A picture of this moment, for another thread."""
        return Standing(pid=self.pid, is_ready=self.is_ready, is_leaving=self.is_leaving)

    def log_tail(self) -> str:
        """The last lines that it wrote, indented for a message."""
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            lines = []
        return "\n".join(f"    {line}" for line in lines[-_TAIL_LINES:]) or "    (it wrote nothing)"
