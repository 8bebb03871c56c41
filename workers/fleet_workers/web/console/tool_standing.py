"""Tells how each tool of an agent stands: switches that cover it, and its circuit breaker."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from fleet_workers.resilience.breaker_records import Record
from fleet_workers.resilience.redis_link import RedisAway
from fleet_workers.store.pauses import EVERY
from fleet_workers.store.switches import Switch
from fleet_workers.web.resources import WebResources

_CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerLine:
    """A breaker that is not simply closed. `wait_seconds` is the time until it is tried again."""

    name: str
    state: str
    failures: int
    wait_seconds: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolStanding:
    """`breaker` is None where nobody knows."""

    switches: tuple[Switch, ...]
    breaker: str | None

    @property
    def is_well(self) -> bool:
        """Whether nothing is known to keep it from being called."""
        return not self.switches and self.breaker in {_CLOSED, None}


def known_breakers(resources: WebResources) -> Mapping[str, Record] | None:
    """Every breaker that failed within the last day; None where nobody can tell now."""
    if resources.read_breakers is None:
        return None
    try:
        return resources.read_breakers()
    except RedisAway:
        return None


def standing_of_tool(
    tool: str, agent: str, *, switches: Sequence[Switch], breakers: Mapping[str, Record] | None
) -> ToolStanding:
    """How a tool of an agent stands."""
    record = (breakers or {}).get(f"tool {tool}")
    known = None if breakers is None else _CLOSED
    return ToolStanding(
        switches=tuple(
            each for each in switches if each.tool == tool and each.agent in {EVERY, agent}
        ),
        breaker=record.state if record is not None else known,
    )


def troubled(breakers: Mapping[str, Record]) -> list[BreakerLine]:
    """The breakers that are open, or that have counted failures, by name."""
    return [
        BreakerLine(
            name=name,
            state=record.state,
            failures=record.failures,
            wait_seconds=None if record.probe_in_seconds is None else ceil(record.probe_in_seconds),
        )
        for name, record in sorted(breakers.items())
        if record.state != _CLOSED or record.failures
    ]
