"""What a supervised process is: its command, its probe, and how it is stopped."""

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

from fleet_workers.embedded.readiness import Probe


class Stage(IntEnum):
    """Where a process stands in the order of stopping: the highest stage stops first."""

    SERVERS = 0
    """PostgreSQL and Valkey: everything else writes to them until it has ended."""
    SERVICES = 1
    """What stands in for the world outside: the sandbox business, the offline model."""
    FRONT = 2
    """The web process and Flower: people may look on while workers end."""
    WORKERS = 3
    """Pools and janitor: they get their grace first, with everything else still there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An existing user of the machine that a process runs as."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSpec:
    """One process under the supervisor.

    `env` is the whole environment. `probe` must turn true within `ready_within_seconds` of the
    start. `stop_signal` asks it to end; after `grace_seconds` it is killed. `removed_first` are
    files of an earlier start that would mislead, such as a ready file. A spare one that cannot be
    brought up is given up, and the others go on; without any other the fleet ends.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    probe: Probe
    stage: Stage
    stop_signal: signal.Signals = signal.SIGTERM
    grace_seconds: float = 10.0
    ready_within_seconds: float = 60.0
    removed_first: tuple[Path, ...] = ()
    working_folder: Path | None = None
    account: Account | None = None
    is_spare: bool = False


def is_alive(pid: int) -> bool:
    """Tell whether a process of that id exists, whoever owns it."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def kill_group(pid: int) -> None:
    """Kill a process that leads a group, and all of its group. Harmless where they are gone."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # macOS says the latter of a zombie
        return
