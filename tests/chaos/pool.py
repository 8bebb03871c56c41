"""Keeps a number of workers alive: each that dies is started anew at once."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.nursery import Nursery, wait_until

_CLI = "fleet_workers.cli"
_NAME = "worker_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """A worker that was killed: its process id and the time by the machine's clock."""

    pid: int
    at: float


class WorkerPool:
    """Workers of one stack. `on_death` hears of each kill at once, in the nursery's thread."""

    def __init__(
        self,
        nursery: Nursery,
        *,
        folder: Path,
        environment: Mapping[str, str],
        agents: Sequence[str],
        slots: int,
        on_death: Callable[[Death], None],
    ) -> None:
        self._nursery = nursery
        self._folder = folder
        self._environment = environment
        self._words = ("worker", *agents, "--slots", str(slots))
        self._on_death = on_death
        self._ordered = 0
        self._stopped: dict[int, float] = {}
        self._self_ended: list[str] = []
        self._lock = threading.Lock()
        nursery.listen(self._note)

    def start(self, count: int) -> None:
        """Start workers and wait until they consume."""
        names = [self._order() for _ in range(count)]
        for name in names:
            wait_until((self._folder / f"{name}.ready").exists, f"{name} to be ready")

    def stopped(self) -> dict[int, float]:
        """Workers that a signal holds, with the time when it did."""
        with self._lock:
            return dict(self._stopped)

    def revive(self, pid: int) -> None:
        """Let a stopped worker go on."""
        with self._lock, contextlib.suppress(ProcessLookupError):
            del self._stopped[pid]
            os.kill(pid, signal.SIGCONT)

    def self_ended(self) -> list[str]:
        """Workers that ended by themselves, which none does unless a server is away."""
        with self._lock:
            return list(self._self_ended)

    def _order(self) -> str:
        with self._lock:
            self._ordered += 1
            name = f"{_NAME}{self._ordered:03d}"
        ready = self._folder / f"{name}.ready"
        self._nursery.start(
            name,
            _CLI,
            self._words,
            log=self._folder / f"{name}.log",
            environment={**self._environment, "FLEET_READY_FILE": str(ready)},
        )
        return name

    def _note(self, event: Mapping[str, Any]) -> None:
        if not event["name"].startswith(_NAME) or event["event"] == "started":
            return
        pid = event["pid"]
        with self._lock:
            if event["event"] == "stopped":
                self._stopped[pid] = event["at"]
                return
            self._stopped.pop(pid, None)
            if event["code"] != -signal.SIGKILL:
                self._self_ended.append(f"{event['name']} ended with code {event['code']}")
        if event["code"] == -signal.SIGKILL:
            self._on_death(Death(pid=pid, at=event["at"]))
        self._order()
