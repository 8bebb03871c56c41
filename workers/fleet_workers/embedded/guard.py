"""Starts processes so that the watchdog knows each of them before it runs."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from fleet_workers.embedded import watchdog
from fleet_workers.embedded.claims import claimed
from fleet_workers.embedded.processes import ProcessSpec

# The shell announces its own process id, which `exec` keeps, on the pipe that is its standard
# input. It holds the pipe open until then, so a supervisor killed in between hides nothing.
_LAUNCH: Final = 'echo "start $$ $1" >&0 || exit 1; shift; exec "$@" </dev/null'
_END_SECONDS: Final = 10.0


class Guard:
    """The pipe to the watchdog, and the only place that starts supervised processes.

    `lock_fd` is shared with the watchdog, which so keeps the folder locked until all has ended.
    """

    def __init__(self, *, log: Path, lock_fd: int) -> None:
        reading, self._pipe = os.pipe()
        with log.open("ab") as output:
            self._watchdog = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-I", "-S", watchdog.__file__],
                stdin=reading,
                stdout=output,
                stderr=output,
                pass_fds=(lock_fd,),
                start_new_session=True,
            )
        os.close(reading)

    def launch(self, spec: ProcessSpec, *, log: Path, claim: Path) -> "subprocess.Popen[bytes]":
        """Start one process as the leader of its own session, its output appended to `log`.

        Raises:
            OSError: It could not be started, for instance as another user.
            StillRuns: One of an earlier run holds `claim` and does not end.
        """
        rule = f"{spec.stage.value} {spec.stop_signal.value} {spec.grace_seconds}"
        account = spec.account
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            with claimed(claim, spec) as held:
                for stale in spec.removed_first:
                    stale.unlink(missing_ok=True)
                process = subprocess.Popen(  # noqa: S603 - programs that the fleet itself names
                    ["/bin/sh", "-c", _LAUNCH, "sh", rule, *spec.argv],
                    env=dict(spec.env),
                    cwd=spec.working_folder,
                    stdin=self._pipe,
                    stdout=descriptor,
                    stderr=descriptor,
                    pass_fds=(held.descriptor,),
                    start_new_session=True,
                    user=account.uid if account else None,
                    group=account.gid if account else None,
                    extra_groups=[] if account else None,
                )
                held.record(process.pid)
                return process
        finally:
            os.close(descriptor)

    def forget(self, pid: int) -> None:
        """Tell the watchdog that a process has ended and its id may serve another."""
        self._tell(f"gone {pid}")

    def hurry(self) -> None:
        """Have the watchdog kill without grace whatever is left when this process ends."""
        self._tell("now")

    @property
    def is_alive(self) -> bool:
        """False once the watchdog itself has ended, which it does not by itself."""
        return self._watchdog.poll() is None

    def close(self) -> None:
        """Let the watchdog end. It kills what was not forgotten."""
        os.close(self._pipe)
        try:
            self._watchdog.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._watchdog.kill()
            self._watchdog.wait()

    def _tell(self, line: str) -> None:
        try:
            os.write(self._pipe, f"{line}\n".encode())
        except BrokenPipeError:
            return  # `is_alive` tells
