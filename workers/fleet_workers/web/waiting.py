"""Waits for a task to settle without holding a thread or a connection."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from fleet_contracts.outcome import TaskView

MAX_WAIT_SECONDS = 30
MAX_WAITERS = 500  # at one look a second each, about a third of a core
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0


class WaitingRoom:
    """Bounds how many requests of this process wait at once. Used by one event loop."""

    def __init__(self, limit: int = MAX_WAITERS) -> None:
        self._free = limit

    async def until_settled(
        self,
        look: Callable[[], Awaitable[TaskView]],
        *,
        wait_seconds: float,
        gone: Callable[[], Awaitable[bool]],
    ) -> TaskView:
        """Look again and again, in growing intervals, until the task settles or time is up.

        Gives the last view. A full room, and a caller that has `gone`, are answered at once.
        """
        view = await look()
        if view.settled or wait_seconds <= 0 or self._free <= 0:
            return view
        self._free -= 1
        try:
            end = time.monotonic() + wait_seconds
            pause = _FIRST_PAUSE_SECONDS
            while not view.settled and (left := end - time.monotonic()) > 0:
                await asyncio.sleep(min(pause, left))
                if await gone():
                    break
                view = await look()
                pause = min(pause * 1.5, _LONGEST_PAUSE_SECONDS)
            return view
        finally:
            self._free += 1
