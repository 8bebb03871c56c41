"""kombu's connection, with the fleet's own transport behind redis:// URLs."""

from typing import Any, ClassVar

from kombu import Connection
from kombu.transport import get_transport_cls


class FleetConnection(Connection):
    """A connection to the fleet's broker; schemes other than redis:// and rediss:// are kombu's."""

    redis_transport: ClassVar = "fleet_client.redis_transport:Transport"
    """By name, so that the library of Redis is loaded by those alone who use it."""

    def get_transport_cls(self) -> type[Any]:
        """Which transport the scheme of the URL in use means.

        Raises:
            ImportError: A library that the transport needs is not installed.
        """
        in_redis = self.transport_cls in ("redis", "rediss")
        found: Any = get_transport_cls(self.redis_transport if in_redis else self.transport_cls)
        return found  # type: ignore[no-any-return]
