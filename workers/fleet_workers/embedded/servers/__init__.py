"""PostgreSQL and Valkey from wheels: for `make run`, and for the tests."""

from fleet_workers.embedded.servers.postgres import PostgresServer
from fleet_workers.embedded.servers.valkey import ValkeyServer

__all__ = ["PostgresServer", "ValkeyServer"]
