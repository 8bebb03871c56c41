"""The one event loop of a process in which all its MCP sessions live."""

import asyncio
import atexit
import os
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from threading import Lock, Thread
from typing import Any, TypeVar

T = TypeVar("T")


class EventLoopThread:
    """Runs coroutines for threads. Begins with the first; a forked process begins anew."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closers: list[Callable[[], Awaitable[None]]] = []
        os.register_at_fork(after_in_child=self._forget)
        atexit.register(self.close)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Wait for a coroutine's end. It must bound its own time."""
        return self.submit(coroutine).result()

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> "Future[T]":
        """Start a coroutine."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._running())

    def at_close(self, closer: Callable[[], Awaitable[None]]) -> None:
        """Remember what has to be closed with the loop."""
        with self._lock:
            self._closers.append(closer)

    def close(self, timeout_seconds: float = 10.0) -> None:
        """Close all sessions and end the thread; a later call begins anew."""
        with self._lock:
            loop, closers = self._loop, self._closers
            self._loop, self._closers = None, []
        if loop is None:
            return

        async def close_all() -> None:
            await asyncio.gather(*(each() for each in closers), return_exceptions=True)

        try:
            asyncio.run_coroutine_threadsafe(close_all(), loop).result(timeout_seconds)
        except TimeoutError:
            pass  # what hangs ends with the process
        finally:
            loop.call_soon_threadsafe(loop.stop)

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                Thread(target=_serve, args=(self._loop,), name="mcp", daemon=True).start()
            return self._loop

    def _forget(self) -> None:
        """After a fork: the thread, and whoever held the lock, stayed in the other process."""
        self._lock = Lock()
        self._loop, self._closers = None, []


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


LOOP = EventLoopThread()
"""Idle until an MCP tool is called."""
