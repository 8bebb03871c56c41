"""Both servers under a supervisor of their own, without the fleet: for tests and experiments."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fleet_workers.embedded.folder import FleetFolder
from fleet_workers.embedded.ports import PortBook
from fleet_workers.embedded.servers.postgres import PostgresServer
from fleet_workers.embedded.servers.valkey import ValkeyServer
from fleet_workers.embedded.supervisor import Supervisor


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningServers:
    """Servers that answer."""

    postgres: PostgresServer
    valkey: ValkeyServer
    supervisor: Supervisor


@contextmanager
def running_servers(path: Path) -> Iterator[RunningServers]:
    """Run PostgreSQL and Valkey with their data in the folder `path`, until the context is left.

    They end with this process too, however it ends.

    Raises:
        ConfigurationError: One of them does not exist for this platform or cannot run here.
        StartFailed: One of them does not come up.
    """
    folder = FleetFolder(path)
    ports = PortBook(folder)
    with Supervisor(folder) as supervisor:
        postgres = PostgresServer(folder, port=ports.port("postgres"))
        valkey = ValkeyServer(folder, port=ports.port("valkey"))
        postgres.prepare()
        valkey.prepare()
        supervisor.start(postgres.spec(), valkey.spec())
        supervisor.watch()
        yield RunningServers(postgres=postgres, valkey=valkey, supervisor=supervisor)
