"""Sends requests over HTTP with httpx2, for both clients, and names what went wrong."""

from collections.abc import Mapping
from importlib.metadata import version
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import httpx2

from fleet_client.settings import ClientSettings
from fleet_client.steps import ConnectionBroken, HttpAnswer, HttpRequest
from fleet_client.tracing import requesting
from fleet_contracts.errors import FleetError, PermanentError, TimedOut, Unavailable


class HttpWire:
    """A pool of connections to one API; safe for threads."""

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        self._client = httpx2.Client(**_client_arguments(settings))

    def send(self, request: HttpRequest) -> HttpAnswer:
        """Send one request.

        Raises:
            Unavailable: Nobody listens at the address.
            ConnectionBroken: The connection ended before the answer did.
            TimedOut: No answer came in time.
            PermanentError: What came is no HTTP answer.
        """
        try:
            with requesting(request, address=str(self._settings.api_url)) as headers:
                arguments = _request_arguments(request, self._settings, headers)
                return _read(self._client.request(**arguments))
        except httpx2.HTTPError as error:
            raise _explain(error, self._settings) from error

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


class AsyncHttpWire:
    """As `HttpWire`, for one event loop."""

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        self._client = httpx2.AsyncClient(**_client_arguments(settings))

    async def send(self, request: HttpRequest) -> HttpAnswer:
        """Send one request, with the errors of `HttpWire.send`."""
        try:
            with requesting(request, address=str(self._settings.api_url)) as headers:
                arguments = _request_arguments(request, self._settings, headers)
                return _read(await self._client.request(**arguments))
        except httpx2.HTTPError as error:
            raise _explain(error, self._settings) from error

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def _client_arguments(settings: ClientSettings) -> dict[str, Any]:
    address = str(settings.api_url).rstrip("/")
    headers = {
        "Accept": "application/json, application/problem+json",
        "User-Agent": f"agent-fleet-client/{version('agent-fleet-client')}",
    }
    if settings.api_key:
        headers["Authorization"] = f"Bearer {settings.api_key}"
    return {
        "base_url": address,
        "headers": headers,
        # A proxy from the environment cannot reach this machine's own loopback addresses.
        "trust_env": not _is_loopback(address),
    }


def _request_arguments(
    request: HttpRequest, settings: ClientSettings, headers: Mapping[str, str]
) -> dict[str, Any]:
    seconds = settings.timeout_seconds
    return {
        "method": request.method,
        "url": request.path,
        "content": request.body,
        "headers": {**request.headers, **headers},
        "timeout": httpx2.Timeout(seconds, read=seconds + request.hold_seconds),
    }


def _read(response: httpx2.Response) -> HttpAnswer:
    return HttpAnswer(
        status=response.status_code,
        headers={name.lower(): value for name, value in response.headers.items()},
        body=response.content,
    )


def _explain(error: httpx2.HTTPError, settings: ClientSettings) -> FleetError:
    address = settings.api_url
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.ProxyError):
        return Unavailable(
            f"The fleet's API at {address} cannot be reached ({error or 'no answer'}): is it "
            "running, and is FLEET_API_URL right?"
        )
    if isinstance(error, httpx2.TimeoutException):
        return TimedOut(
            f"The fleet's API at {address} did not answer within {settings.timeout_seconds:g} s; "
            "whether it took the request is not known. The same idempotency key makes a repeat "
            "harmless."
        )
    if isinstance(error, httpx2.TransportError):
        return ConnectionBroken(
            f"The connection to the fleet's API at {address} broke ({error}): is it restarting?"
        )
    return PermanentError(f"What {address} answered cannot be read ({error}): is it a fleet's API?")


def _is_loopback(address: str) -> bool:
    host = urlsplit(address).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
