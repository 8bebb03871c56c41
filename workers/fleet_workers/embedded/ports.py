"""Free loopback ports that stay the same from one start to the next."""

import random
import socket
from typing import Final

from fleet_contracts.errors import ConfigurationError
from fleet_workers.embedded.folder import FleetFolder

LOOPBACK: Final = "127.0.0.1"
_LOWEST, _HIGHEST = 20_000, 29_999
"""Below the ranges that Linux (from 32768) and macOS (from 49152) give to outgoing connections."""
_ATTEMPTS: Final = 200


class PortBook:
    """Hands out one free port a name, and remembers it in the folder.

    A remembered port that somebody else took meanwhile is replaced.
    """

    def __init__(self, folder: FleetFolder) -> None:
        self._folder = folder
        remembered = folder.recall("ports")
        self._ports = {name: port for name, port in remembered.items() if isinstance(port, int)}
        self._handed_out: dict[str, int] = {}

    def port(self, name: str) -> int:
        """The port of `name`, the same however often it is asked for.

        Raises:
            ConfigurationError: No free port was found.
        """
        if name in self._handed_out:
            return self._handed_out[name]
        wanted = self._ports.get(name)
        if wanted is None or wanted in self._handed_out.values() or not is_free(wanted):
            wanted = self._find()
            self._ports[name] = wanted
            self._folder.remember("ports", self._ports)
        self._handed_out[name] = wanted
        return wanted

    def _find(self) -> int:
        taken = {*self._handed_out.values(), *self._ports.values()}
        for _ in range(_ATTEMPTS):
            port = random.randint(_LOWEST, _HIGHEST)  # noqa: S311 - a port is no secret
            if port not in taken and is_free(port):
                return port
        raise ConfigurationError(
            f"No free port between {_LOWEST} and {_HIGHEST} on {LOOPBACK}: stop other programs, "
            "or allow this one to listen on loopback."
        )


def is_free(port: int) -> bool:
    """Tell whether a server could listen on the loopback port now."""
    with socket.socket() as probe:
        # As servers do: connections of the last run that linger in TIME_WAIT are no hindrance.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except (OSError, OverflowError):
            return False
    with socket.socket() as caller:
        # macOS lets us bind beside a server that listens on all addresses.
        caller.settimeout(1)
        return caller.connect_ex((LOOPBACK, port)) != 0
