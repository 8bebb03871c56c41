"""A lock that a process and all it forks hold while any of them lives."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from fleet_contracts.errors import FleetError
from fleet_workers.embedded.processes import ProcessSpec, kill_group

_PAUSE_SECONDS: Final = 0.05
_KILLED_SECONDS: Final = 5.0
_PID_BYTES: Final = 20


class StillRuns(FleetError):
    """An earlier process of the same name cannot be ended."""

    code = "still_runs"


class Claim:
    """The lock, for as long as the starter holds it too; `descriptor` goes to the process."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def record(self, pid: int) -> None:
        """Note who holds it, for a later start to find."""
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, str(pid).encode(), 0)


@contextmanager
def claimed(path: Path, spec: ProcessSpec) -> Iterator[Claim]:
    """Take the lock of a process that is about to start.

    A file lock that is inherited says for certain whether a server still works on its data, which
    a process id in a file does not: after a crash the id may belong to somebody else. A process
    that is left from an earlier run, its supervisor and watchdog both killed, is ended first.

    Raises:
        StillRuns: What is left from an earlier run does not end.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not _locked_within(descriptor, _KILLED_SECONDS):
            _end_leftover(descriptor, spec, path)
        yield Claim(descriptor)
    finally:
        os.close(descriptor)


def _end_leftover(descriptor: int, spec: ProcessSpec, path: Path) -> None:
    recorded = os.pread(descriptor, _PID_BYTES, 0).decode(errors="replace").strip()
    if recorded.isdigit():
        try:
            os.kill(int(recorded), spec.stop_signal)
        except OSError:
            recorded = "unknown"
        if _locked_within(descriptor, spec.grace_seconds):
            return
        if recorded.isdigit():
            kill_group(int(recorded))
    if not _locked_within(descriptor, _KILLED_SECONDS):
        raise StillRuns(
            f"A {spec.name} of an earlier run (process {recorded or 'unknown'}) holds {path} and "
            "does not end: end it yourself, then start again."
        )


def _locked_within(descriptor: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(_PAUSE_SECONDS)
        else:
            return True
