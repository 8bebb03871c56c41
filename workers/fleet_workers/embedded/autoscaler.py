"""Adds and ends worker processes of a local fleet, as its pools need them."""

import math
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread
from typing import Final, Protocol

import structlog

from fleet_contracts.envelope import AUTO_AGENT
from fleet_contracts.errors import Unavailable
from fleet_workers.embedded.child import Standing
from fleet_workers.embedded.pool_view import Seen, looking
from fleet_workers.embedded.processes import ProcessSpec
from fleet_workers.embedded.scaling import Bounds, Decision, PoolScaler, Rules, Sample
from fleet_workers.settings import Settings
from fleet_workers.store.pools import AgentLoad, Worker

log = structlog.get_logger(__name__)

_LOOK_SECONDS: Final = 1.0
_LOOKING_SHARE: Final = 0.05
"""Of the time at most so much is spent on looking, where that leaves a look every five seconds:
100,000 tasks that wait take 0.1 s to count."""
_LONGEST_PAUSE_SECONDS: Final = 5.0
_GIVEN_UP_SECONDS: Final = 60.0
"""A pool whose new process could not be brought up is not enlarged for so long."""


class Processes(Protocol):
    """What adds and ends processes: the supervisor."""

    def add(self, spec: ProcessSpec) -> None: ...  # noqa: D102 as the supervisor's

    def retire(self, name: str) -> None: ...  # noqa: D102

    def standing(self) -> dict[str, Standing]: ...  # noqa: D102


class PoolSpecs(Protocol):
    """What knows how a pool's processes are started: the stack."""

    def pool_spec(self, agent: str, number: int, *, is_spare: bool) -> ProcessSpec: ...  # noqa: D102

    def queues(self, agent: str) -> tuple[str, ...]: ...  # noqa: D102


class Autoscaler:
    """Looks once a second and keeps each pool within its bounds. `report` gets a line a change.

    While the store is away every pool keeps the processes that it has.
    """

    def __init__(
        self,
        bounds: Mapping[str, Bounds],
        *,
        processes: Processes,
        specs: PoolSpecs,
        look: Callable[[], Seen],
        report: Callable[[str], None],
        rules: Rules | None = None,
    ) -> None:
        self._processes = processes
        self._specs = specs
        self._look = look
        self._report = report
        self._scalers = {
            agent: PoolScaler(each, rules or Rules()) for agent, each in bounds.items()
        }
        self._names: dict[str, set[str]] = {agent: set() for agent in bounds}
        self._blocked_until = dict.fromkeys(bounds, -math.inf)
        self._stopped = Event()
        self._thread = Thread(target=self._run, name="autoscaler", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Change nothing any more."""
        self._stopped.set()
        self._thread.join(timeout=10)

    def step(self) -> None:
        """Look once, and change what has to be changed."""
        try:
            seen = self._look()
        except Unavailable as error:
            log.warning("autoscaler.sees_nothing", error=str(error))
            for scaler in self._scalers.values():
                scaler.forget()
            return
        standing = self._processes.standing()
        for agent, scaler in self._scalers.items():
            self._mind(agent, scaler, seen, standing)

    def _run(self) -> None:
        while not self._stopped.is_set():
            begun_at = time.monotonic()
            try:
                self.step()
            except Exception:
                log.exception("autoscaler.broke")
            took_seconds = time.monotonic() - begun_at
            pause_seconds = min(took_seconds / _LOOKING_SHARE, _LONGEST_PAUSE_SECONDS)
            self._stopped.wait(max(_LOOK_SECONDS, pause_seconds))

    def _mind(
        self, agent: str, scaler: PoolScaler, seen: Seen, standing: Mapping[str, Standing]
    ) -> None:
        at = time.monotonic()
        ours = self._ours(agent, standing, at)
        decision = scaler.decide(self._sample(agent, seen, ours, at))
        if decision is None:
            return
        if decision.processes < len(ours):
            for name in _least_busy(ours, seen.workers)[: len(ours) - decision.processes]:
                self._names[agent].discard(name)
                self._processes.retire(name)
        elif at < self._blocked_until[agent] and len(ours) >= scaler.bounds.least:
            return
        else:
            self._grow(agent, scaler.bounds, standing, by=decision.processes - len(ours))
        self._tell(agent, len(ours), decision)

    def _ours(self, agent: str, standing: Mapping[str, Standing], at: float) -> dict[str, Standing]:
        """The pool's processes that stay; notes where one was given up."""
        ours = {
            name: each
            for name, each in standing.items()
            if _belongs(name, agent) and not each.is_leaving
        }
        if self._names[agent] - ours.keys():
            self._blocked_until[agent] = at + _GIVEN_UP_SECONDS
        self._names[agent] = set(ours)
        return ours

    def _sample(self, agent: str, seen: Seen, ours: Mapping[str, Standing], at: float) -> Sample:
        serving = [each for each in seen.workers if agent in each.agents and not each.is_draining]
        queues = [
            _Queue.of(name, seen, shared_by=self._sharing(name) if name == AUTO_AGENT else 1)
            for name in self._specs.queues(agent)
        ]
        return Sample(
            at=at,
            processes=len(ours),
            ready=sum(each.is_ready for each in ours.values()),
            slots=sum(each.slots or 0 for each in serving),
            busy_slots=sum(each.running for each in serving),
            backlog=sum(each.backlog for each in queues),
            unread=sum(each.unread for each in queues),
            oldest_seconds=max(each.oldest_seconds for each in queues),
        )

    def _sharing(self, queue: str) -> int:
        """How many scaled pools take from a queue."""
        return sum(queue in self._specs.queues(agent) for agent in self._scalers)

    def _grow(
        self, agent: str, bounds: Bounds, standing: Mapping[str, Standing], *, by: int
    ) -> None:
        has = len(self._names[agent])
        number = 1
        for count in range(has, has + by):
            while pool_process(agent, number) in standing:
                number += 1
            spare = count >= bounds.least
            self._processes.add(self._specs.pool_spec(agent, number, is_spare=spare))
            self._names[agent].add(pool_process(agent, number))
            number += 1

    def _tell(self, agent: str, had: int, decision: Decision) -> None:
        word = "process" if decision.processes == 1 else "processes"
        self._report(f"pool {agent}: {had} to {decision.processes} {word} ({decision.reason})")


@dataclass(frozen=True, slots=True)
class _Queue:
    backlog: int
    unread: int
    oldest_seconds: float

    @classmethod
    def of(cls, agent: str, seen: Seen, *, shared_by: int) -> "_Queue":
        load = seen.loads.get(agent) or AgentLoad.idle(agent)
        # A task in the store may have a message as well: they are counted once.
        unread = seen.messages.get(agent, 0)
        backlog = math.ceil(max(load.queued, unread) / shared_by)
        oldest = (seen.now - load.oldest_at).total_seconds() if load.oldest_at else 0.0
        return cls(backlog, unread // shared_by, max(0.0, oldest))


def pool_process(agent: str, number: int) -> str:
    """The name of a pool's process: `pool_billing`, `pool_billing.2`."""
    return f"pool_{agent}" if number == 1 else f"pool_{agent}.{number}"


def _belongs(name: str, agent: str) -> bool:
    return name.partition(".")[0] == pool_process(agent, 1)


def _least_busy(ours: Mapping[str, Standing], workers: Sequence[Worker]) -> list[str]:
    """Names in the order in which processes should end: what does not work yet goes first."""
    host = socket.gethostname()
    running: dict[int, int] = {}
    for each in workers:
        where, _, pid = (each.name or "").rpartition(":")
        is_cut = where.startswith("~")  # as `pool_name` cuts a long host
        if pid.isdecimal() and (host.endswith(where[1:]) if is_cut else host == where):
            running[int(pid)] = each.running
    return sorted(
        ours,
        key=lambda name: (
            ours[name].is_ready,
            running.get(ours[name].pid or 0, 0),
            # Of equals the last one: the first keeps its name and log.
            -len(name),
            [-ord(letter) for letter in name],
        ),
    )


@contextmanager
def autoscaling(
    bounds: Mapping[str, Bounds],
    settings: Settings,
    *,
    processes: Processes,
    specs: PoolSpecs,
    report: Callable[[str], None],
) -> Iterator[None]:
    """Scale pools for as long as the block lasts; those whose bounds leave a choice."""
    chosen = {agent: each for agent, each in bounds.items() if each.least < each.most}
    if not chosen:
        yield
        return
    queues = {queue for agent in chosen for queue in specs.queues(agent)}
    with looking(settings, queues) as look:
        scaler = Autoscaler(chosen, processes=processes, specs=specs, look=look, report=report)
        scaler.start()
        try:
            yield
        finally:
            scaler.stop()
