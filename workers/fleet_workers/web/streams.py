"""Server-sent events from the store: looked for again and again, with no thread held between.

Source: WHATWG HTML, "Server-sent events". Ids come from the store alone, so that any web process
goes on where another has stopped.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from fastapi.sse import format_sse_event
from pydantic import BaseModel

from fleet_contracts.errors import Unavailable

MAX_STREAMS: Final = 300  # at one look a second each, about a third of a core
LONGEST_SECONDS: Final = 900.0
"""By then a stream ends and is to be opened again: a key that was revoked reads no further."""
RETRY_MS: Final = 2000
_HEARTBEAT_SECONDS: Final = 15.0  # proxies cut connections that are silent for half a minute
_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 1.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One event of a stream. A client that comes back with `id` gets what stands behind it."""

    id: str
    name: str
    data: BaseModel


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What a look has found. `is_last` tells that nothing more will come."""

    pieces: Sequence[Piece]
    is_last: bool = False


Look = Callable[[], Awaitable[News]]
"""Gives what is new since the last look. Raises Unavailable while the store is away."""


class StreamRoom:
    """Bounds how many streams of this process are open at once. Used by one event loop."""

    def __init__(
        self, limit: int = MAX_STREAMS, *, longest_seconds: float = LONGEST_SECONDS
    ) -> None:
        self._free = limit
        self._longest_seconds = longest_seconds

    def check(self) -> None:
        """Make sure that there is room for a stream.

        Raises:
            Unavailable: There is none.
        """
        if self._free <= 0:
            raise Unavailable("As many streams are open as this process serves.")

    async def stream(self, look: Look, *, seconds: float) -> AsyncIterator[bytes]:
        """Tell all that `look` finds until its last, or until the time is up."""
        self._free -= 1
        try:
            yield format_sse_event(retry=RETRY_MS)
            async for chunk in _told(look, min(seconds, self._longest_seconds)):
                yield chunk
        finally:
            self._free += 1


async def _told(look: Look, seconds: float) -> AsyncIterator[bytes]:
    end = time.monotonic() + seconds
    spoke_at = time.monotonic()
    pause = _FIRST_PAUSE_SECONDS
    while True:
        news = await _looked(look)
        for each in news.pieces:
            yield format_sse_event(
                event=each.name, id=each.id, data_str=each.data.model_dump_json()
            )
        if news.is_last:
            return
        now = time.monotonic()
        if news.pieces:
            spoke_at, pause = now, _FIRST_PAUSE_SECONDS
        elif now - spoke_at >= _HEARTBEAT_SECONDS:
            yield format_sse_event(comment="still here")
            spoke_at = now
        if now >= end:
            return
        await asyncio.sleep(min(pause, max(0.0, end - now)))
        pause = min(pause * 1.5, _LONGEST_PAUSE_SECONDS)


async def _looked(look: Look) -> News:
    try:
        return await look()
    except Unavailable as error:
        log.warning("stream.store_unavailable", error=str(error))
        return News(pieces=())
