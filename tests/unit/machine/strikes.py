"""Lets a test strike a worker at a chosen point of its work: kill it, stall it, take a server away.

A worker runs in a thread of its own, and only one thread goes on at any moment, so that a run is
the same each time.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from fleet_contracts.errors import BreakerOpen, PermanentError, TimedOut, Unavailable

KILL: Final = "kill"
STALL: Final = "stall"
AWAY: Final = "away"  # the other side cannot be reached
LOST: Final = "lost"  # it did as asked, and its answer was lost
OUTAGE: Final = "outage"  # the store stays away for the rest of this worker's run
REFUSE: Final = "refuse"
BREAK: Final = "break"
DRAIN: Final = "drain"
OPEN: Final = "open"  # a breaker, so that nothing goes out
FULL: Final = "full"  # no room for one more process

STRIKES: Final[dict[str, tuple[str, ...]]] = {
    "accepted": (KILL, STALL),
    "claimed": (KILL, STALL),
    "apart": (FULL,),
    "yield": (DRAIN,),
    "journal.before": (KILL, STALL, AWAY, OUTAGE),
    "journal.after": (KILL, STALL, LOST),
    "model.before": (KILL, STALL, AWAY, REFUSE),
    "model.after": (KILL, STALL, LOST),
    "fence": (KILL, STALL),
    "breaker": (OPEN,),
    "tool.before": (KILL, STALL, AWAY, REFUSE, BREAK),
    "tool.after": (KILL, STALL, LOST, BREAK),
    "leave.written": (KILL, LOST),
    "remember": (KILL, STALL),
    "send": (KILL, STALL, AWAY),
}
"""What can happen at each point, in the order in which a worker comes by."""

UNDER_WAY: Final = "tool.before"
"""Stalled here, a request is on its way to the business, where it will have its effect."""

CUT_IS_FELT_AFTER: Final = frozenset({"fence", "journal.after"})
"""Stalled here, a worker may already have passed its last look into the store before a call."""

_HANG_SECONDS = 20.0


class Killed(BaseException):
    """The process is no more; nothing of it runs from here on."""


@dataclass(frozen=True, kw_only=True)
class Strike:
    """What happens at the `nth` point (from 0) of those at which it can; `at` names only some."""

    action: str
    nth: int = 0
    at: str = ""

    def can_be_at(self, point: str) -> bool:
        return self.action in STRIKES[point] and point.startswith(self.at)


class Run:
    """The work of one process. `stalled_at` names the point at which it stands, if it does."""

    def __init__(self, name: str, work: Callable[[], object]) -> None:
        self.name = name
        self.stalled_at: str | None = None
        self.is_done = False
        self.is_killed = False
        self.is_draining = False
        self.error: BaseException | None = None
        self._work = work
        self._strikes: list[Strike] = []
        self._passed: list[int] = []
        self._is_outage = False
        self._is_doomed = False
        self._go = threading.Semaphore(0)
        self._back = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)

    def go_on(self, strikes: Sequence[Strike] = ()) -> None:
        """Start it, or wake it up; returns when it has ended or stalls."""
        self._strikes = list(strikes)
        self._passed = [0] * len(self._strikes)
        self.stalled_at = None
        if not self._thread.is_alive():
            self._thread.start()
        self._go.release()
        assert self._back.acquire(timeout=_HANG_SECONDS), f"{self.name} hangs: a lock is held"

    def kill(self) -> None:
        """End it where it stands."""
        self._is_doomed = True
        self.go_on()

    def at(self, point: str) -> str | None:
        """Come by a point; gives an action that the caller itself carries out."""
        if self._is_outage and OUTAGE in STRIKES[point]:
            raise Unavailable("The store is still away.")
        for place, strike in enumerate(self._strikes):
            if strike.can_be_at(point):
                self._passed[place] += 1
                if self._passed[place] == strike.nth + 1:
                    return self._act(strike.action, point)
        return None

    def _act(self, action: str, point: str) -> str | None:
        match action:
            case "kill":
                raise Killed
            case "stall":
                self.stalled_at = point
                self._wait()
            case "away" if point != "send":
                raise Unavailable("It is away.", retry_after_seconds=1)
            case "lost":
                raise (TimedOut if point == "tool.after" else Unavailable)("No answer.")
            case "open":
                raise BreakerOpen("It is left alone.", retry_after_seconds=1)
            case "outage":
                self._is_outage = True
                raise Unavailable("The store is away.")
            case "refuse":
                raise PermanentError("That is refused.")
            case "break":
                raise ValueError("a fault in the tool's code")
            case "drain":
                self.is_draining = True
        return action

    def _wait(self) -> None:
        self._back.release()
        self._go.acquire()
        if self._is_doomed:
            raise Killed

    def _main(self) -> None:
        _here.run = self
        self._go.acquire()
        try:
            self._work()
        except Killed:
            self.is_killed = True
        except BaseException as error:  # noqa: BLE001 handed to the test that waits
            self.error = error
        self.is_done = True
        self._back.release()


_here = threading.local()


def point(name: str) -> str | None:
    """Come by a point of a worker's run; outside of one nothing happens."""
    run: Run | None = getattr(_here, "run", None)
    return run.at(name) if run is not None else None


def is_draining() -> bool:
    """Tell whether the process that runs here is being stopped."""
    run: Run | None = getattr(_here, "run", None)
    if run is None:
        return False
    run.at("yield")
    return run.is_draining
