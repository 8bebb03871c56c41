"""Free loopback ports for servers that tests start, kill and start again."""

import random

from fleet_workers.embedded.ports import is_free

# Below the range that Linux gives to outgoing connections, which would take a port between two
# starts of a server; and apart from the one that `fleetctl up` chooses from.
_LOWEST, _HIGHEST = 10_000, 19_999


def free_port() -> int:
    """A port on which nothing listens, and which no outgoing connection will be given."""
    while True:
        port = random.randint(_LOWEST, _HIGHEST)  # noqa: S311 - a port is no secret
        if is_free(port):
            return port
