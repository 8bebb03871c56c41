"""The connections of a client, made when first needed; the only place that loads kombu, httpx2."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fleet_client.broker import BrokerSender
    from fleet_client.http_wire import AsyncHttpWire, HttpWire
    from fleet_client.settings import ClientSettings


class Wires:
    """One broker sender and one HTTP pool of each kind, shared by all threads of a client.

    The imports stand inside, because httpx2 and kombu would make up a third of the time that
    `import fleet_client` takes, and few programs need both.
    """

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._broker: BrokerSender | None = None
        self._http: HttpWire | None = None
        self._async_http: AsyncHttpWire | None = None

    def broker(self) -> BrokerSender:
        """Give the broker sender."""
        from fleet_client.broker import BrokerSender  # noqa: PLC0415 - see the class

        with self._lock:
            if self._broker is None:
                self._broker = BrokerSender(
                    str(self._settings.broker_url), timeout_seconds=self._settings.timeout_seconds
                )
            return self._broker

    def http(self) -> HttpWire:
        """Give the blocking HTTP pool."""
        from fleet_client.http_wire import HttpWire  # noqa: PLC0415 - see the class

        with self._lock:
            if self._http is None:
                self._http = HttpWire(self._settings)
            return self._http

    def async_http(self) -> AsyncHttpWire:
        """Give the HTTP pool for an event loop."""
        from fleet_client.http_wire import AsyncHttpWire  # noqa: PLC0415 - see the class

        with self._lock:
            if self._async_http is None:
                self._async_http = AsyncHttpWire(self._settings)
            return self._async_http

    def close(self) -> None:
        """Close the broker connections and the blocking HTTP pool."""
        if self._broker is not None:
            self._broker.close()
        if self._http is not None:
            self._http.close()

    async def close_async(self) -> None:
        """Close the HTTP pool of the event loop."""
        if self._async_http is not None:
            await self._async_http.close()
