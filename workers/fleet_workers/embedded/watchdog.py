"""Stops what a killed supervisor left behind. A program of its own that needs Python alone.

It reads lines from a pipe whose other end the supervisor holds, and which every child holds from
its fork until it has announced itself. So when the pipe ends, the supervisor is gone and every
child that ever started is known:

    start PID STAGE SIGNAL GRACE     a process that leads its own group has started
    gone PID                         it has ended and was reaped
    now                              no grace any more: kill at once

The highest stage is stopped first, each with its grace in seconds, then killed.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable

POLL_SECONDS = 0.05


class Left:
    """The processes that were announced and have not been reported gone."""

    def __init__(self) -> None:
        self.by_pid: dict[int, tuple[int, int, float]] = {}
        self.hurry = False

    def take(self, line: str) -> None:
        """Follow one line of the pipe; a torn or strange line is passed over."""
        words = line.split()
        with contextlib.suppress(ValueError):
            if words[:1] == ["start"] and len(words) == 5:  # noqa: PLR2004 - as in the form above
                pid, stage, number = (int(word) for word in words[1:4])
                self.by_pid[pid] = (stage, number, float(words[4]))
            elif words[:1] == ["gone"] and len(words) == 2:  # noqa: PLR2004
                self.by_pid.pop(int(words[1]), None)
            elif words == ["now"]:
                self.hurry = True

    def stop(self) -> None:
        """End them all, stage by stage from the highest."""
        for stage in sorted({stage for stage, _, _ in self.by_pid.values()}, reverse=True):
            self._stop_stage([pid for pid, entry in self.by_pid.items() if entry[0] == stage])

    def _stop_stage(self, pids: list[int]) -> None:
        started = time.monotonic()
        if not self.hurry:
            for pid in pids:
                _signal(os.kill, pid, self.by_pid[pid][1])
        while pids:
            waited = time.monotonic() - started
            for pid in list(pids):
                if self.hurry or not _is_alive(pid) or waited > self.by_pid[pid][2]:
                    _signal(os.killpg, pid, signal.SIGKILL)
                    pids.remove(pid)
            time.sleep(POLL_SECONDS)


def _signal(send: Callable[[int, int], None], pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        send(pid, number)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:  # noqa: PTH123 - pathlib costs memory here
            return stat.read().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return True  # no /proc, as on macOS


def main() -> None:
    """Listen until the pipe ends, then stop what is left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    left = Left()
    for line in sys.stdin:
        left.take(line)
    left.stop()


if __name__ == "__main__":
    main()
