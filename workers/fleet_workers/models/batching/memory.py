"""What is remembered of batches that failed: who shares with fewer, or with nobody, next time."""

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from threading import Lock
from typing import Final

MOST_TASKS: Final = 10_000
"""Of more tasks nothing is remembered, the oldest first: those would share and fail once more."""

_FAILURES: Final = 3
_GIVEN_UP_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """With whom a task shares next time: the part of a batch, and how many it has; 1 is alone."""

    part: Hashable
    size: int


ALONE: Final = Company(part=None, size=1)


class Memory:
    """Of one process; safe to use from every slot."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._company: dict[str, Company] = {}
        self._failures: dict[Hashable, int] = {}
        self._given_up_until: dict[Hashable, float] = {}

    def remember(self, task_id: str, company: Company) -> None:
        """Keep with whom a task shares next."""
        with self._lock:
            self._company.pop(task_id, None)
            self._company[task_id] = company
            while len(self._company) > MOST_TASKS:
                del self._company[next(iter(self._company))]

    def take(self, task_id: str) -> Company | None:
        """With whom a task shares now, which is forgotten with it; None where it is like others."""
        with self._lock:
            return self._company.pop(task_id, None)

    def note(self, group: Hashable, *, worked: bool) -> None:
        """A batch of a group worked, or its whole answer could not be used."""
        with self._lock:
            if worked:
                self._failures.pop(group, None)
                return
            self._failures[group] = self._failures.get(group, 0) + 1
            if self._failures[group] >= _FAILURES:
                del self._failures[group]
                self._given_up_until[group] = self._clock() + _GIVEN_UP_SECONDS

    def is_given_up(self, group: Hashable) -> bool:
        """Whether batches of the group failed so often that none is tried for five minutes."""
        with self._lock:
            until = self._given_up_until.get(group)
            if until is not None and until <= self._clock():
                del self._given_up_until[group]
                until = None
            return until is not None
