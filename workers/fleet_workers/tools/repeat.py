"""What a tool's call is told that an earlier worker, or an earlier attempt, began already."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """A call that was begun and whose end is not known.

    `begun_seconds_ago` is when it was last asked for, by the store's clock. `again` notes that it
    is asked for once more, now; it raises LeaseLost where the task is no longer ours.
    """

    begun_seconds_ago: float
    again: Callable[[], None]
