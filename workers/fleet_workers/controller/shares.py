"""Who runs how much in this process, and who may have its next slot."""

import time
from collections import Counter
from threading import Lock

from fleet_workers.store.fair_claims import Standing
from fleet_workers.store.limits import EVERY, AtLimit

_SHARED_SECONDS = 600.0  # for so long a tenant that was here is expected to come again
_MOST_REMEMBERED = 1000


class Shares:
    """The account of one process; used by all of its slots.

    Of the slots that are left the tenant that runs the least gets the next, and of two that run as
    much the one that was given less: each start moves a tenant on by 1 / weight, and a tenant that
    comes back stands where the process stands (start-time fair queueing; Goyal, Vin, Cheng 1996).

    The last `headroom` slots are for tenants that run fewer than that here, so that who has sent
    nothing for a while finds a free slot, however much others have queued. A process that works for
    one tenant alone keeps nothing free.
    """

    def __init__(self, *, slots: int = 1, headroom: int = 0) -> None:
        self._lock = Lock()
        self._open_slots = slots - headroom
        self._headroom = headroom
        self._running: Counter[str] = Counter()
        self._total = 0
        self._given: dict[str, float] = {}
        self._now = 0.0
        self._last_tenant: str | None = None
        self._shared_until = 0.0
        self._full: dict[tuple[str, str], float] = {}

    def begin(self, tenant: str, weight: float = 1.0) -> None:
        """A task of a tenant begins to run here."""
        with self._lock:
            self._running[tenant] += 1
            self._total += 1
            self._now = max(self._now, self._given.get(tenant, 0.0))
            self._given[tenant] = self._now + 1.0 / weight
            if self._last_tenant not in (None, tenant):
                self._shared_until = time.monotonic() + _SHARED_SECONDS
            self._last_tenant = tenant
            if len(self._given) > _MOST_REMEMBERED:
                self._given = {
                    name: given for name, given in self._given.items() if given > self._now
                }

    def end(self, tenant: str, agent: str) -> None:
        """A task of a tenant runs here no more: limits over it may have room again."""
        with self._lock:
            self._total -= 1
            self._running[tenant] -= 1
            if self._running[tenant] <= 0:
                del self._running[tenant]
            for limit in [
                each
                for each in self._full
                if each[0] in {EVERY, tenant} and each[1] in {EVERY, agent}
            ]:
                del self._full[limit]

    def note_full(self, limit: AtLimit) -> None:
        """A limit leaves no room: what it is over is not looked at for a while."""
        with self._lock:
            self._full[limit.tenant, limit.agent] = time.monotonic() + limit.seconds

    def may_begin(self, tenant: str) -> bool:
        """Whether a slot that is free is free for this tenant."""
        with self._lock:
            most = self._fewer_than()
            return most is None or self._running[tenant] < most

    def passed_over_by(self, tenant: str) -> str | None:
        """Whose queued tasks a new one of `tenant` may pass: a tenant's that runs many here.

        It runs few itself then, fewer than the headroom. Empty where it may pass nobody's; None
        where a new one may not begin, or a look at all that wait has to tell who is next.
        """
        with self._lock:
            most = self._fewer_than()
            running = self._running[tenant]
            if most is not None and running >= most:
                return None
            loud = [name for name, number in self._running.items() if number >= self._headroom]
            if running < self._headroom and len(loud) == 1:
                return loud[0]
            return "" if most is None else None

    @property
    def has_open_slots(self) -> bool:
        """Whether a slot is free for every tenant."""
        with self._lock:
            return self._fewer_than() is None

    def standing(self) -> Standing:
        """How the tenants stand, for who looks for the next task."""
        with self._lock:
            now = time.monotonic()
            self._full = {limit: until for limit, until in self._full.items() if until > now}
            names = [
                *self._running,
                *(name for name in self._given if name not in self._running),
            ]
            return Standing(
                tenants=names,
                running=[self._running[name] for name in names],
                served=[max(self._now, self._given.get(name, 0.0)) for name in names],
                now=self._now,
                fewer_than=self._fewer_than(),
                at_limit=list(self._full),
            )

    def seconds_to_next(self) -> float | None:
        """After how long a limit is to be looked at again; None where none is full."""
        with self._lock:
            if not self._full:
                return None
            return max(0.0, min(self._full.values()) - time.monotonic())

    def _fewer_than(self) -> int | None:
        if self._total < self._open_slots or time.monotonic() > self._shared_until:
            return None
        return self._headroom
