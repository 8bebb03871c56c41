"""Ctrl-C and its like: the first asks for an orderly end, the second ends at once."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_EXIT_KILLED: Final = 130


@contextmanager
def orderly_end(stop_requested: threading.Event, kill: Callable[[], None]) -> Iterator[None]:
    """Set the event at the first signal; at the second call `kill` and end this process.

    Only in the main thread. The former handlers are put back on leaving.
    """
    asked_before = False

    def handle(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked_before
        if asked_before:
            kill()
            os._exit(_EXIT_KILLED)
        asked_before = True
        stop_requested.set()

    former = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
