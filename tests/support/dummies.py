"""Processes that stand in for real ones in tests of the supervisor."""

import os
import sys
from pathlib import Path

from fleet_workers.embedded.processes import ProcessSpec, Stage
from fleet_workers.embedded.readiness import file_probe

_READY = "import os, pathlib, signal, sys, time; pathlib.Path(os.environ['READY']).touch()\n"
WELL_BEHAVED = _READY + "time.sleep(600)"
"""Becomes ready at once and ends at the first signal."""

STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + WELL_BEHAVED
"""Does not end when it is asked to."""

PARENT = (
    "import subprocess, sys; sleep = 'import time; time.sleep(600)'\n"
    "subprocess.Popen([sys.executable, '-c', sleep])\n" + WELL_BEHAVED
)
"""Has a process of its own."""

BROKEN = "print('the disk is full'); raise SystemExit(3)"
"""Ends before it is ready."""


def dummy(
    folder: Path,
    name: str,
    program: str = WELL_BEHAVED,
    *,
    stage: Stage = Stage.WORKERS,
    grace_seconds: float = 5.0,
    ready_within_seconds: float = 20.0,
    is_spare: bool = False,
) -> ProcessSpec:
    """A Python program as a process. Its environment names its ready file, and MARK the folder."""
    ready = folder / f"{name}.ready"
    return ProcessSpec(
        name=name,
        argv=(sys.executable, "-I", "-S", "-c", program),
        env={**os.environ, "READY": str(ready), "MARK": str(folder)},
        probe=file_probe(ready),
        stage=stage,
        grace_seconds=grace_seconds,
        ready_within_seconds=ready_within_seconds,
        removed_first=(ready,),
        is_spare=is_spare,
    )
