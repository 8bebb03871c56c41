"""The connections to the broker of everything that consumes or sends letters."""

from typing import Any, ClassVar

from kombu.connection import ConnectionPool, PooledConnection

from fleet_client.connection import FleetConnection


class WorkerConnection(FleetConnection):
    """A client's connection whose redis:// consumers lose no message when they are killed."""

    redis_transport: ClassVar = "fleet_workers.broker.redis_transport:Transport"

    def Pool(self, limit: int | None = None, **options: Any) -> ConnectionPool:  # noqa: N802 kombu's
        """A pool of connections of this kind; kombu's own would hold plain ones."""
        return _Pool(self, limit, **options)


class _Pool(ConnectionPool):
    def new(self) -> Any:
        # As kombu's own pool does, which names the class of its connections in the same way.
        return _PooledConnection(self, **dict(self.connection._info(resolve=False)))  # noqa: SLF001


class _PooledConnection(PooledConnection, WorkerConnection):  # type: ignore[misc] # untyped
    """One of a pool."""
