"""PostgreSQL and Valkey for tests: one pair of servers for a whole session, from wheels."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fleet_workers.embedded.servers.session import RunningServers, running_servers


@contextmanager
def temporary_servers() -> Iterator[RunningServers]:
    """Servers with new data in a folder that goes with them; made for a session-scoped fixture."""
    with tempfile.TemporaryDirectory(prefix="fleet-tests-") as folder:
        Path(folder).chmod(0o711)  # under root, PostgreSQL's unprivileged user passes through
        with running_servers(Path(folder) / "servers") as servers:
            yield servers
