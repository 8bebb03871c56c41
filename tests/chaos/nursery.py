"""Starts processes by forking one that has imported everything, and hears of their ends."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

_ZYGOTE = Path(__file__).with_name("zygote.py")

Listener = Callable[[Mapping[str, Any]], None]


class Nursery:
    """One zygote and its children. None of them outlives it, nor it this process."""

    def __init__(self, folder: Path) -> None:
        self._listeners: list[Listener] = []
        self._lock = threading.Lock()
        self._names: dict[int, str] = {}
        self._alive: set[int] = set()
        with (folder / "zygote.log").open("ab") as errors:
            self._zygote = subprocess.Popen(
                (sys.executable, str(_ZYGOTE)),
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


@contextlib.contextmanager
def open_nursery(folder: Path) -> Iterator[Nursery]:
    """A nursery without children yet; it imports while the caller goes on."""
    nursery = Nursery(folder)
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
