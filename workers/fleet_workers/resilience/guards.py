"""What a process asks before a call goes out."""

from dataclasses import dataclass

from fleet_workers.resilience.breakers import Breakers
from fleet_workers.resilience.limits import RateLimits
from fleet_workers.store.switchboard import Switchboard


@dataclass(frozen=True, slots=True, kw_only=True)
class Guards:
    """Whether the dependency fails for now, whether it is called too often, whether it may be."""

    breakers: Breakers
    limits: RateLimits
    switches: Switchboard
