"""Calls a tool of an MCP server, and puts whatever comes of it into the fleet's errors."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import structlog
from mcp import MCPError
from mcp_types import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    REQUEST_TIMEOUT,
    CallToolResult,
    EmbeddedResource,
    ResourceLink,
    TextContent,
    TextResourceContents,
)
from pydantic import ValidationError

from fleet_contracts.errors import (
    ConfigurationError,
    FleetError,
    InDoubt,
    NotSent,
    PermanentError,
    TimedOut,
    Unavailable,
)
from fleet_workers.tools.context import ToolContext
from fleet_workers.tools.importers.authorization import address, authorization
from fleet_workers.tools.importers.definitions import one_line
from fleet_workers.tools.importers.leash import TOO_LARGE
from fleet_workers.tools.importers.lock import LockedTool
from fleet_workers.tools.importers.mcp_loop import LOOP
from fleet_workers.tools.importers.mcp_session import McpServer, McpSession, Way
from fleet_workers.tools.importers.mcp_transport import (
    NOT_SENT,
    REFUSED,
    SESSION_GONE,
    over_http,
    over_stdio,
)
from fleet_workers.tools.importers.schema_model import ABSENT
from fleet_workers.tools.importers.settings import ImportSection

log = structlog.get_logger()

KEY_META: Final = "agent-fleet/idempotency-key"
"""Where our key stands in a call's `_meta`."""
_REASON_CHARACTERS: Final = 500
_NOT_DONE: Final = frozenset(
    {INVALID_PARAMS, METHOD_NOT_FOUND, INVALID_REQUEST, REFUSED, SESSION_GONE}
)
"""Errors of a server that has looked at the call and turned it away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class McpCall:
    """How one tool calls its server's. `server` is shared by all tools of the import."""

    tool: str
    is_write: bool
    may_repeat: bool
    timeout: timedelta
    server: McpServer
    section: ImportSection
    folder: Path
    locked: LockedTool

    def function(self) -> Callable[..., Any]:
        """The tool's function.

        What broke before the call went out is NotSent; what broke after it, too, where it may
        be repeated, and InDoubt in a write that may not. A server that says no is a
        PermanentError, and so is a tool that is not what was imported.
        """

        def call(context: ToolContext, /, **arguments: Any) -> Any:
            given = {
                self.locked.wire.get(name, name): each
                for name, each in arguments.items()
                if each is not ABSENT
            }
            try:
                return _value(self.tool, self._send(context, given))
            except MCPError as error:
                raise self._classed(error) from error
            except ValidationError as error:
                text = f"{self.tool}: the server's answer cannot be understood."
                raise (InDoubt(text) if self.is_write else PermanentError(text)) from error

        return call

    def _send(self, context: ToolContext, given: Mapping[str, Any]) -> CallToolResult:
        for is_last in (False, True):
            session = self._ready(context)
            context.fence()
            try:
                return LOOP.run(
                    session.call(
                        self.locked.remote,
                        given,
                        {KEY_META: context.idempotency_key},
                        self.timeout.total_seconds(),
                    )
                )
            except MCPError as error:
                # A server that was started anew turns away calls of sessions that it never knew.
                if error.code != SESSION_GONE or is_last:
                    raise
                LOOP.run(session.close())
        raise AssertionError("the last attempt returns or raises")

    def _ready(self, context: ToolContext) -> McpSession:
        """A session with a server whose tool is still what was imported.

        Raises:
            NotSent: The server cannot be reached, or does not say what it has.
            PermanentError: The tool has changed.
        """
        way = open_way(self.section, self.folder, context.environment)
        try:
            session, found = LOOP.run(self._opened(way))
        except FleetError:
            raise
        except Exception as error:
            reason = one_line(str(error) or type(error).__name__, _REASON_CHARACTERS)
            raise NotSent(f"{self.tool}: MCP server {self.server.name}: {reason}") from error
        if found.get(self.locked.remote) != self.locked.fingerprint:
            is_there = self.locked.remote in found
            log.error("tool.changed", tool=self.tool, server=self.server.name, is_there=is_there)
            raise PermanentError(
                f"{self.tool} is not used: MCP server {self.server.name} "
                f"{'describes it in another way' if is_there else 'has it no more'} than when it "
                "was imported. An operator must look at it: "
                f"`fleetctl agents import {self.folder.name}`."
            )
        return session

    async def _opened(self, way: Way) -> tuple[McpSession, Mapping[str, str]]:
        session = await self.server.opened(way)
        try:
            return session, await session.fingerprints()
        except Exception:
            # A server that does not even say what it has hangs: the next call gets a new one.
            await session.close()
            raise

    def _classed(self, error: MCPError) -> FleetError:
        text = f"{self.tool}: {one_line(error.message, _REASON_CHARACTERS)}"
        if error.code == NOT_SENT:
            return NotSent(text)
        if error.code in _NOT_DONE or (error.code == TOO_LARGE and not self.is_write):
            return PermanentError(text)
        # What answered too much once will again.
        if not self.may_repeat or error.code == TOO_LARGE:
            return InDoubt(f"{text} It may have been done.")
        return TimedOut(text) if error.code == REQUEST_TIMEOUT else Unavailable(text)


def open_way(section: ImportSection, folder: Path, environment: Mapping[str, str]) -> Way:
    """How to reach the server of a section.

    Raises:
        ConfigurationError: A variable is not set, or is no URL.
    """
    source = section.mcp
    if source is None:
        raise ConfigurationError("This import names no MCP server.")
    if source.url_variable is None:
        return lambda: over_stdio(source.command, folder=folder, environment=environment)
    url = address(environment, source.url_variable)
    headers = authorization(section, environment)
    return lambda: over_http(url, headers)


def _value(tool: str, result: CallToolResult) -> Any:
    """What the tool gave: structured content, else its text.

    Raises:
        PermanentError: The tool says that it failed.
    """
    text = "\n\n".join(_text(block) for block in result.content)
    if result.is_error:
        raise PermanentError(f"{tool} failed: {one_line(text, _REASON_CHARACTERS)}")
    return text if result.structured_content is None else result.structured_content


def _text(block: object) -> str:
    match block:
        case TextContent(text=text):
            return text
        case EmbeddedResource(resource=TextResourceContents(text=text)):
            return text
        case ResourceLink(uri=uri):
            return str(uri)
        case _:
            return f"[{getattr(block, 'type', 'something')} left out]"
