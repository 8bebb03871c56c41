"""Finds agents that work with less than they should, or not at all."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection

from fleet_workers.agents import AgentCatalogue
from fleet_workers.resilience.breaker_records import Record
from fleet_workers.resilience.redis_link import RedisAway
from fleet_workers.review.wording import time_words, title_of
from fleet_workers.store import waiting_reviews
from fleet_workers.store.pauses import EVERY
from fleet_workers.store.pools import Worker, workers_alive
from fleet_workers.store.switches import Switch, all_switches

ReadBreakers = Callable[[], Mapping[str, Record]]

DEGRADED_AFTER_SECONDS: Final = 30.0
"""A breaker that closes again within two tries is not worth a mail."""
OFFLINE_AFTER_SECONDS: Final = 60.0
"""A pool that is being replaced is back within half a minute."""
_WELL_AFTER_SECONDS: Final = 30.0
_CLOSED: Final = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Troubles:
    """Why an agent is degraded or offline, by agent. `degraded` is None where nobody can tell."""

    degraded: Mapping[str, str] | None = field(default_factory=dict)
    offline: Mapping[str, str] = field(default_factory=dict)


class TroubleFinder:
    """Looks at breakers, switches and pools. It reads all at once, for every section."""

    def __init__(self, catalogue: AgentCatalogue, read_breakers: ReadBreakers) -> None:
        self._catalogue = catalogue
        self._read_breakers = read_breakers

    def find(self, connection: Connection, *, tenants: Sequence[str] = ()) -> Troubles:
        """What is in trouble at this moment, as far as it concerns these tenants; empty is all."""
        queued = waiting_reviews.queued_by_agent(connection, tenants=tenants)
        busy = waiting_reviews.agents_at_work(connection)
        workers = workers_alive(connection) if queued else []
        offline = {
            agent: _nobody_there(number)
            for agent, number in queued.items()
            if agent not in busy and not _is_served(agent, workers)
        }
        try:
            breakers = self._read_breakers()
        except RedisAway:
            return Troubles(degraded=None, offline=offline)
        switches = [
            each
            for each in all_switches(connection)
            if not tenants or each.tenant in {EVERY, *tenants}
        ]
        return Troubles(degraded=self._degraded(breakers, switches), offline=offline)

    def _degraded(
        self, breakers: Mapping[str, Record], switches: Iterable[Switch]
    ) -> dict[str, str]:
        reasons: dict[str, list[str]] = {}
        for name, record in sorted(breakers.items()):
            kind, _, what = name.partition(" ")
            if record.state == _CLOSED:
                continue
            for release in self._catalogue:
                if kind == "model" or (kind == "tool" and release.tools.get(what) is not None):
                    told = f"the model {what}" if kind == "model" else title_of(what)
                    reasons.setdefault(release.name, []).append(f"{told} does not answer.")
        for switch in switches:
            for release in self._catalogue:
                if release.tools.get(switch.tool) and switch.agent in {EVERY, release.name}:
                    reasons.setdefault(release.name, []).append(_switched_off(switch))
        return {agent: " ".join(dict.fromkeys(told)) for agent, told in reasons.items()}


class Steadied:
    """Lets through only what lasts: a trouble that comes and goes is neither told nor withdrawn.

    It remembers in this process; a janitor that starts anew waits once more.
    """

    def __init__(self, *, after_seconds: float, clock: Callable[[], float]) -> None:
        self._after_seconds = after_seconds
        self._clock = clock
        self._since: dict[str, float] = {}
        self._gone_since: dict[str, float] = {}

    def steady(self, found: Mapping[str, str], told: Mapping[str, str]) -> dict[str, str]:
        """What is in trouble for long enough, and what was told and is not gone for long enough."""
        now = self._clock()
        for agent in found:
            self._since.setdefault(agent, now)
            self._gone_since.pop(agent, None)
        for agent in [each for each in self._since if each not in found]:
            del self._since[agent]
        lasting = {
            agent: why
            for agent, why in found.items()
            if agent in told or now - self._since[agent] >= self._after_seconds
        }
        for agent, why in told.items():
            if agent not in found:
                gone = self._gone_since.setdefault(agent, now)
                if now - gone < _WELL_AFTER_SECONDS:
                    lasting[agent] = why
        return lasting


def _nobody_there(number: int) -> str:
    tasks = "1 task waits" if number == 1 else f"{number:,} tasks wait"
    return f"{tasks}, and no worker is there to take them."


def _is_served(agent: str, workers: Iterable[Worker]) -> bool:
    """A worker that serves more agents than its name holds may serve any."""
    return any(agent in each.agents or not each.is_whole for each in workers)


def _switched_off(switch: Switch) -> str:
    whom = "" if switch.tenant == EVERY else f" for {switch.tenant}"
    since = time_words(switch.created_at)
    reason = " ".join(switch.reason.split())
    return (
        f"{title_of(switch.tool)} is disabled{whom} by {switch.disabled_by} since {since}: {reason}"
    )
