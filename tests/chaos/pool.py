"""Keeps a number of workers alive: each that dies is forked anew at once."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ZYGOTE = Path(__file__).with_name("zygote.py")
_READY_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """A worker that was killed: its process id and the time by the machine's clock."""

    pid: int
    at: float


class WorkerPool:
    """Workers of one stack, forked from one zygote. `on_death` hears of each kill at once."""

    def __init__(
        self,
        *,
        folder: Path,
        environment: Mapping[str, str],
        agents: tuple[str, ...],
        slots: int,
        on_death: Callable[[Death], None],
    ) -> None:
        self._folder = folder
        self._environment = environment
        self._agents = agents
        self._slots = slots
        self._on_death = on_death
        self._ordered = 0
        self._alive: set[int] = set()
        self._stopped: dict[int, float] = {}
        self._failures: list[str] = []
        self._closing = False
        self._lock = threading.Lock()
        with (folder / "zygote.log").open("ab") as errors:
            self._zygote = subprocess.Popen(
                (sys.executable, str(_ZYGOTE)),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        self._reader = threading.Thread(target=self._read, name="zygote", daemon=True)
        self._reader.start()

    def start(self, count: int) -> None:
        """Start workers and wait until they consume."""
        names = [self._order() for _ in range(count)]
        deadline = time.monotonic() + _READY_SECONDS
        while not all((self._folder / f"{name}.ready").exists() for name in names):
            if time.monotonic() > deadline or self._failures:
                raise TimeoutError(f"Workers do not start; see {self._folder}. {self._failures}")
            time.sleep(0.05)

    def alive(self) -> list[int]:
        """Process ids of the workers that run, the stopped ones left out."""
        with self._lock:
            return sorted(self._alive - self._stopped.keys())

    def stopped(self) -> dict[int, float]:
        """Workers that a signal holds, with the time when it did."""
        with self._lock:
            return dict(self._stopped)

    def signal(self, pid: int, number: signal.Signals) -> None:
        with self._lock:
            if number is signal.SIGCONT:
                self._stopped.pop(pid, None)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def failures(self) -> list[str]:
        """Workers that ended by themselves, which none should."""
        with self._lock:
            return list(self._failures)

    def close(self) -> None:
        """End all workers: the kernel kills them with their parent."""
        self._closing = True
        self._zygote.kill()
        self._zygote.wait()
        self._reader.join(timeout=5)

    def _order(self) -> str:
        with self._lock:
            self._ordered += 1
            name = f"worker_{self._ordered:03d}"
            order = {
                "name": name,
                "agents": self._agents,
                "slots": self._slots,
                "log": str(self._folder / f"{name}.log"),
                "marks": str(self._folder / "marks"),
                "environment": {
                    **self._environment,
                    "FLEET_READY_FILE": str(self._folder / f"{name}.ready"),
                },
            }
            assert self._zygote.stdin is not None
            self._zygote.stdin.write(json.dumps(order).encode() + b"\n")
            self._zygote.stdin.flush()
        return name

    def _read(self) -> None:
        assert self._zygote.stdout is not None
        for line in self._zygote.stdout:
            self._note(json.loads(line))

    def _note(self, event: Mapping[str, Any]) -> None:
        pid = event["pid"]
        match event["event"]:
            case "started":
                with self._lock:
                    self._alive.add(pid)
            case "stopped":
                with self._lock:
                    self._stopped[pid] = event["at"]
            case "ended" if not self._closing:
                with self._lock:
                    self._alive.discard(pid)
                    self._stopped.pop(pid, None)
                if event["code"] == -signal.SIGKILL:
                    self._on_death(Death(pid=pid, at=event["at"]))
                else:
                    self._failures.append(f"A worker ended with code {event['code']}.")
                self._order()


@contextlib.contextmanager
def worker_pool(**options: Any) -> Iterator[WorkerPool]:
    """A pool without workers yet; none is left at the end."""
    pool = WorkerPool(**options)
    try:
        yield pool
    finally:
        pool.close()
