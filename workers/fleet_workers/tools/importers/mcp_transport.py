"""Ways to an MCP server that a bad one cannot use to harm the worker."""

import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx2
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from fleet_workers.tools.importers.leash import TOO_LARGE

NOT_SENT: Final = -32090
"""The code of the error for a request that did not go out, or was put off."""
LOST: Final = -32091
"""The code of the error for a request whose answer did not come."""
REFUSED: Final = -32093
"""The code of the error for a request that was turned away before it reached the server's code."""

SESSION_GONE: Final = -32094
"""The code of the error for a request of a session that the server does not know any more."""

MOST_BYTES: Final = 1_000_000  # of one answer, as for other tools over HTTP
_SESSION_HEADER: Final = "mcp-session-id"
_UNKNOWN: Final = frozenset({400, 404})  # 404 by the specification, 400 by widespread habit
_TOO_MANY: Final = 429
_OVERLOADED: Final = frozenset({502, 503, 504})
_NOBODY: Final = frozenset({401, 403})
_CLIENT_ERROR: Final = 400
_SERVER_ERROR: Final = 500
_LEASH: Final = str(Path(__file__).with_name("leash.py"))

Streams = tuple[Any, Any]


@asynccontextmanager
async def over_stdio(
    command: tuple[str, ...], *, folder: Path, environment: Mapping[str, str]
) -> AsyncIterator[Streams]:
    """Start a server as a process of this worker, in the agent's folder.

    It sees the variables of `environment` and PATH, and dies with the worker.
    """
    program = [sys.executable if command[0] == "python" else command[0], *command[1:]]
    parameters = StdioServerParameters(
        command=sys.executable,
        args=["-E", "-S", _LEASH, ",".join(environment), str(MOST_BYTES), *program],
        env=dict(environment),
        cwd=folder,
    )
    # File 2 itself: a worker's sys.stderr may be no file at all.
    with os.fdopen(2, "w", closefd=False, encoding="utf-8") as errors:
        async with stdio_client(parameters, errlog=errors) as streams:
            yield streams


@asynccontextmanager
async def over_http(url: str, headers: Mapping[str, str]) -> AsyncIterator[Streams]:
    """Reach a server over streamable HTTP."""
    client = httpx2.AsyncClient(
        headers=dict(headers),
        timeout=httpx2.Timeout(30, read=300),
        transport=SteadyTransport(httpx2.AsyncHTTPTransport()),
    )
    async with client, streamable_http_client(url, http_client=client) as streams:
        yield streams


class SteadyTransport(httpx2.AsyncBaseTransport):
    """Turns the failure of one request into the answer to it.

    To the SDK a failed request is the end of the whole session, and with it of everybody's calls.
    """

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request; what is no stream of events is read here, up to the limit."""
        if request.method != "POST":
            return await self._inner.handle_async_request(request)
        try:
            response = await self._inner.handle_async_request(request)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
            return _error(NOT_SENT, f"cannot be reached: {error}")
        except httpx2.TransportError as error:
            return _error(LOST, f"the connection broke: {error or type(error).__name__}")
        kind = response.headers.get("content-type", "")
        if kind.startswith("text/event-stream") and response.is_success:
            return response
        return await _settled(request, response)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._inner.aclose()


async def _settled(request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
    content = bytearray()
    try:
        async for part in response.aiter_bytes():
            content += part
            if len(content) > MOST_BYTES:
                return _error(TOO_LARGE, "the answer is too large: ask for less.")
    except httpx2.RequestError as error:
        return _error(LOST, f"the answer broke off: {error or type(error).__name__}")
    finally:
        await response.aclose()
    refusal = _refusal(response, has_session=_SESSION_HEADER in request.headers)
    if refusal is not None:
        return _error(*refusal)
    headers = [
        (name, value)
        for name, value in response.headers.items()
        if name not in {"content-encoding", "content-length", "transfer-encoding"}
    ]
    return httpx2.Response(response.status_code, headers=headers, content=bytes(content))


def _refusal(response: httpx2.Response, *, has_session: bool) -> tuple[int, str] | None:
    """What a status means that is no answer of the server's code; None where it is one."""
    status = response.status_code
    text = f"the server answered {status}"
    if status in _UNKNOWN and has_session:
        return SESSION_GONE, "the server does not know the session"
    if status == _TOO_MANY:
        return NOT_SENT, text
    if status in _OVERLOADED or (status >= _SERVER_ERROR and not _is_json(response)):
        return LOST, text
    if status in _NOBODY:
        return REFUSED, f"{text}: check the credentials"
    return (REFUSED, text) if status >= _CLIENT_ERROR and not _is_json(response) else None


def _is_json(response: httpx2.Response) -> bool:
    return bool(response.headers.get("content-type", "").startswith("application/json"))


def _error(code: int, message: str) -> httpx2.Response:
    content = json.dumps({"jsonrpc": "2.0", "id": 0, "error": {"code": code, "message": message}})
    return httpx2.Response(
        _SERVER_ERROR, headers={"content-type": "application/json"}, content=content.encode()
    )
