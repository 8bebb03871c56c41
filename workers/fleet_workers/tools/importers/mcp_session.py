"""A session with one MCP server, shared by all threads of a worker and renewed when it ends."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final, Self

import anyio
import structlog
from mcp import Client
from mcp_types import (
    CallToolRequest,
    CallToolRequestParams,
    CallToolResult,
    Implementation,
    PaginatedRequestParams,
    Tool,
)

from fleet_workers.tools.importers.mcp_definitions import fingerprint_of
from fleet_workers.tools.importers.mcp_loop import LOOP
from fleet_workers.tools.importers.mcp_transport import Streams

log = structlog.get_logger()

CONNECT_SECONDS: Final = 30.0
"""How long a server may take to start and to say what it has."""
_LIST_AGE_SECONDS: Final = 60.0
"""After this long a server is asked again whether its tools are still what they were."""
_MOST_PAGES: Final = 50
_IDENTITY: Final = Implementation(name="agent-fleet", version="1")

Way = Callable[[], AbstractAsyncContextManager[Streams]]
"""Opens a way to the server, anew each time."""


class McpSession:
    """Open until the server goes, or `close`. Its coroutines belong to the loop of `LOOP`."""

    def __init__(self, name: str, way: Way) -> None:
        self._name = name
        self._way = way
        self._client: Client | None = None
        self._closing = asyncio.Event()
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._listed_at = 0.0
        self._fingerprints: dict[str, str] = {}
        self._listing = asyncio.Lock()
        self.is_over = False
        self._owner = asyncio.create_task(self._hold())

    async def ready(self) -> Self:
        """Wait until the session is open.

        Raises:
            Exception: Whatever kept it from opening.
        """
        await asyncio.shield(self._ready)
        return self

    async def fingerprints(self) -> Mapping[str, str]:
        """The fingerprint of each tool, as the server describes it now or did a minute ago."""
        async with self._listing:
            if time.monotonic() - self._listed_at > _LIST_AGE_SECONDS:
                tools = await self.tools()
                self._fingerprints = {each.name: fingerprint_of(each) for each in tools}
                self._listed_at = time.monotonic()
            return self._fingerprints

    async def tools(self) -> list[Tool]:
        """All tools of the server."""
        assert self._client is not None  # noqa: S101 set before the session is ready
        found: list[Tool] = []
        cursor: str | None = None
        for _ in range(_MOST_PAGES):
            page = await self._client.session.list_tools(
                params=PaginatedRequestParams(cursor=cursor)
            )
            found += page.tools
            cursor = page.next_cursor
            if cursor is None:
                break
        return found

    async def call(
        self, tool: str, arguments: Mapping[str, Any], meta: dict[str, Any], timeout_seconds: float
    ) -> CallToolResult:
        """Call a tool once. After the time is up the server is told to stop.

        Raises:
            mcp.MCPError: The server's error, a time-out, or the end of the connection.
            pydantic.ValidationError: The answer is no result.
        """
        assert self._client is not None  # noqa: S101 as above
        # Not the SDK's call_tool: that asks again, and fails on a result that does not fit its
        # schema, which for a write is a thing that was done.
        return await self._client.session.send_request(
            CallToolRequest(
                params=CallToolRequestParams.model_validate(
                    {"name": tool, "arguments": dict(arguments), "_meta": meta}
                )
            ),
            CallToolResult,
            request_read_timeout_seconds=timeout_seconds,
        )

    async def close(self) -> None:
        """End the session, and a server that was started for it."""
        self._end()
        await asyncio.wait({self._owner})

    async def _hold(self) -> None:
        """The session's whole life, in one task: the SDK's scopes must end where they began."""
        try:
            with anyio.fail_after(CONNECT_SECONDS) as limit:
                async with Client(
                    self._watched(),
                    client_info=_IDENTITY,
                    read_timeout_seconds=CONNECT_SECONDS,
                    message_handler=self._listen,
                    cache=None,
                ) as client:
                    limit.deadline = math.inf
                    self._client = client
                    self._ready.set_result(None)
                    await self._closing.wait()
        except BaseException as error:  # noqa: BLE001 handed to whoever waits, or noted
            if not self._ready.done():
                self._ready.set_exception(_first(error))
                self._ready.exception()  # it counts as seen, also where nobody waits
            else:
                log.warning("mcp.session_ended", server=self._name, error=repr(_first(error)))
        finally:
            self.is_over = True

    @asynccontextmanager
    async def _watched(self) -> AsyncIterator[Streams]:
        async with self._way() as (reading, writing):
            yield _Watched(reading, self._end), writing

    def _end(self) -> None:
        """Nothing more is sent, and the session winds up."""
        self.is_over = True
        self._closing.set()

    async def _listen(self, message: Any) -> None:
        if getattr(message, "method", None) == "notifications/tools/list_changed":
            self._listed_at = 0.0
        await asyncio.sleep(0)


class _Watched:
    """A stream that tells when it ends."""

    def __init__(self, inner: Any, on_end: Callable[[], None]) -> None:
        self._inner = inner
        self._on_end = on_end

    @property
    def last_context(self) -> Any:
        """What the SDK asks of its own streams."""
        return getattr(self._inner, "last_context", None)

    async def receive(self) -> Any:
        """The next message."""
        return await self._inner.receive()

    async def aclose(self) -> None:
        """Close it."""
        await self._inner.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self._inner.__anext__()
        except BaseException:
            self._on_end()
            raise

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *raised: object) -> Any:
        return await self._inner.__aexit__(*raised)


class McpServer:
    """One server as tools know it; opens a session with the first call, and again after its end."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._session: McpSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def opened(self, way: Way) -> McpSession:
        """The open session, or a new one over `way`; to be awaited in the loop of `LOOP`.

        Raises:
            Exception: It could not be opened.
        """
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._session = loop, None
            LOOP.at_close(self._close)
        # All coroutines of the loop run in one thread: nothing comes between look and assignment.
        if self._session is None or self._session.is_over:
            self._session = McpSession(self.name, way)
        return await self._session.ready()

    async def _close(self) -> None:
        if self._session is not None:
            await self._session.close()


def _first(error: BaseException) -> BaseException:
    """The error itself, where the SDK wrapped it into groups."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    return error
