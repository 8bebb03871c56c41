"""What a priority gives away: the order of a tenant's queued tasks, in which nobody starves."""

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Final

from fleet_contracts.envelope import Priority

YIELDS: Final[Mapping[Priority, timedelta]] = MappingProxyType(
    {
        Priority.HIGH: timedelta(0),
        Priority.NORMAL: timedelta(minutes=5),
        Priority.BULK: timedelta(hours=1),
    }
)
"""A task goes before everything of its tenant that was submitted so much later, or more.

So a high one passes all normal ones of the last five minutes and all bulk ones of the last hour,
and no task is passed by those that come when it has waited that long.
"""


def yield_of(priority: Priority) -> timedelta:
    """What is added to the time of submission to give `tasks.rank_at`."""
    return YIELDS[priority]
