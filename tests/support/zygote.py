"""The program that forks the fleet's processes: it has imported everything, so a start is quick.

Reads orders as JSON lines from standard input and writes what happens to its children to standard
output. It has one thread and no connection; its end is the end of all its children. A word on its
command line names a module whose `prepare_child` each child calls before anything else.
"""

import ctypes
import gc
import importlib
import json
import os
import random
import runpy
import select
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import fleet_workers.cli.processes
import fleet_workers.janitor.service
import fleet_workers.web.application
import fleet_workers.worker.pool  # noqa: F401 what its children run is imported once, here

_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)
_CHUNK_BYTES = 65536
_PREPARING = [importlib.import_module(name) for name in sys.argv[1:]]


def main() -> None:
    gc.collect()
    gc.freeze()  # what is shared with the children shall stay so
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writing)
    orders = b""
    while True:
        readable, _, _ = select.select([sys.stdin, reading], [], [])
        if reading in readable:
            os.read(reading, _CHUNK_BYTES)
        note_children()
        if sys.stdin in readable:
            chunk = os.read(0, _CHUNK_BYTES)
            if not chunk:
                return
            *lines, orders = (orders + chunk).split(b"\n")
            for line in lines:
                start(json.loads(line), (reading, writing))


def say(event: Mapping[str, Any]) -> None:
    os.write(1, json.dumps(event).encode() + b"\n")


def note_children() -> None:
    """Tell of every child that has ended or was stopped since."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
        except ChildProcessError:
            return
        if pid == 0:
            return
        if os.WIFSTOPPED(status):
            say({"event": "stopped", "pid": pid, "at": time.time()})
        else:
            code = os.waitstatus_to_exitcode(status)
            say({"event": "ended", "pid": pid, "code": code, "at": time.time()})


def start(order: Mapping[str, Any], pipe: tuple[int, int]) -> None:
    pid = os.fork()
    if pid:
        say({"event": "started", "pid": pid, "name": order["name"]})
        return
    code = 1
    try:
        for each in pipe:
            os.close(each)
        become(order)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        os._exit(code)


def become(order: Mapping[str, Any]) -> None:
    """Turn this child into the process that was ordered, as `python -m` would have."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for target, source in ((0, nothing), (1, log), (2, log)):
        os.dup2(source, target)
    os.setsid()
    random.seed()
    os.environ.clear()
    os.environ.update(order["environment"])
    for each in _PREPARING:
        each.prepare_child()
    sys.argv = [order["module"], *order["words"]]
    runpy.run_module(order["module"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
