"""Starts processes by forking one that has imported everything, and hears of their ends.

A Python process of the fleet takes two seconds of a processor to import itself; a fork takes none.
"""

import atexit
import contextlib
import functools
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

_ZYGOTE = Path(__file__).with_name("zygote.py")

Listener = Callable[[Mapping[str, Any]], None]


class Nursery:
    """One zygote and its children. None of them outlives it, nor it this process."""

    def __init__(self, folder: Path, *, prepared_by: str | None = None) -> None:
        self._listeners: list[Listener] = []
        self._lock = threading.Lock()
        self._names: dict[int, str] = {}
        self._alive: set[int] = set()
        with (folder / "zygote.log").open("ab") as errors:
            self._zygote = subprocess.Popen(
                (sys.executable, str(_ZYGOTE), *([prepared_by] if prepared_by else [])),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        self._reader = threading.Thread(target=self._read, name="nursery", daemon=True)
        self._reader.start()

    def listen(self, listener: Listener) -> None:
        """Tell `listener` of every event from now on: name, pid, what happened, and when."""
        self._listeners.append(listener)

    def start(
        self,
        name: str,
        module: str,
        words: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str],
    ) -> None:
        """Order a process that runs a module with these words, as `python -m` does."""
        order = {
            "name": name,
            "module": module,
            "words": list(words),
            "log": str(log),
            "environment": dict(environment),
        }
        assert self._zygote.stdin is not None
        with self._lock:
            self._zygote.stdin.write(json.dumps(order).encode() + b"\n")
            self._zygote.stdin.flush()

    def kill_all(self) -> None:
        """Kill every child, before the servers go that it works with."""
        self._listeners.clear()
        wait_until(self._has_killed, "the children's ends")

    def close(self) -> None:
        """End everything at once."""
        self._listeners.clear()
        self._zygote.kill()
        self._reader.join()
        with self._zygote:
            pass

    def _has_killed(self) -> bool:
        for pid in tuple(self._alive):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not self._alive

    def _read(self) -> None:
        assert self._zygote.stdout is not None
        for line in self._zygote.stdout:
            event = json.loads(line)
            if event["event"] == "started":
                self._names[event["pid"]] = event["name"]
                self._alive.add(event["pid"])
            elif event["event"] == "ended":
                self._alive.discard(event["pid"])
            for listener in list(self._listeners):
                listener({**event, "name": self._names[event["pid"]]})


class ForkedProcess:
    """A process of a nursery, with what tests use of `subprocess.Popen`."""

    def __init__(
        self,
        nursery: Nursery,
        name: str,
        words: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str],
    ) -> None:
        self.returncode: int | None = None
        self._name = name
        self._pid = 0
        self._has_started = threading.Event()
        self._has_ended = threading.Event()
        nursery.listen(self._note)
        nursery.start(name, words[0], words[1:], log=log, environment=environment)
        assert self._has_started.wait(60), "The nursery started nothing: see its zygote.log."

    @property
    def pid(self) -> int:
        return self._pid

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; `subprocess.TimeoutExpired` where it does not come in time."""
        if not self._has_ended.wait(timeout):
            raise subprocess.TimeoutExpired(self._name, timeout or 0.0)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """As Popen's: nothing where it has ended."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _note(self, event: Mapping[str, Any]) -> None:
        if event["name"] != self._name:
            return
        if event["event"] == "started":
            self._pid = event["pid"]
            self._has_started.set()
        elif event["event"] == "ended":
            self.returncode = event["code"]
            self._has_ended.set()


_numbers = itertools.count()


@functools.cache
def _shared() -> Nursery:
    """The one nursery of this test process."""
    folder = Path(tempfile.mkdtemp(prefix="nursery_"))
    nursery = Nursery(folder)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(nursery.close)
    return nursery


def fork(words: Sequence[str], *, log: Path, environment: Mapping[str, str]) -> ForkedProcess:
    """Run a module with these words, as `python -m` does, in a session of its own."""
    name = f"{next(_numbers)}"
    return ForkedProcess(_shared(), name, words, log=log, environment=environment)


@contextlib.contextmanager
def open_nursery(folder: Path, *, prepared_by: str | None = None) -> Iterator[Nursery]:
    """A nursery without children yet; it imports while the caller goes on.

    `prepared_by` is a module whose `prepare_child` is called in each child.
    """
    nursery = Nursery(folder, prepared_by=prepared_by)
    try:
        yield nursery
    finally:
        nursery.close()


def wait_until(condition: Callable[[], bool], what: str, *, seconds: float = 60.0) -> None:
    """Wait until something holds.

    Raises:
        TimeoutError: It does not in time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"Waited {seconds:g} s for {what}.")
        time.sleep(0.05)
