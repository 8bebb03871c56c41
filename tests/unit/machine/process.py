"""A worker process as the machine sees it: the real executor, with points to strike it at."""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine

from fleet_contracts.envelope import TaskEnvelope, parse_envelope
from fleet_workers.agents import AgentCatalogue
from fleet_workers.broker.postman import Postman
from fleet_workers.controller import execution, settlement
from fleet_workers.controller.execution import Apart, Executor
from fleet_workers.controller.ports import Ports
from fleet_workers.controller.settlement import Settlement
from fleet_workers.janitor import sweep
from fleet_workers.models.messages import ChatModel
from fleet_workers.resilience.breakers import Breakers
from fleet_workers.store import arrivals, claims, endings, journal, outbox, pauses, views
from fleet_workers.store.claims import Claim, Holder
from fleet_workers.store.outbox import Letter
from fleet_workers.tools import runtime
from fleet_workers.tools.runtime import ToolRuntime
from unit.machine.strikes import Killed, is_draining, point

MAX_DELIVERIES = 5
MAX_ATTEMPTS = 4
_LONG = timedelta(minutes=9)  # no lease ends by itself: the machine says when
_AGES = timedelta(hours=12)
_presences = itertools.count(1)


class Guardian:
    """Stands in for the keeper of leases: they last until the machine ends them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._held: dict[UUID, int] = {}
        self.is_over = False

    def hold(self, claim: Claim, *, since: float) -> None:
        assert since <= time.monotonic()
        self._held[claim.task_id] = claim.epoch
        point("claimed")

    def let_go(self, claim: Claim) -> None:
        self._held.pop(claim.task_id, None)

    def check(self, claim: Claim) -> None:
        point("fence")
        if self.is_over or self._held.get(claim.task_id) != claim.epoch:
            raise claims.lease_lost(claim)

    def is_paused(self, *, agent: str, tenant: str) -> bool:
        with self._engine.connect() as connection:
            return pauses.is_covered(pauses.all_pauses(connection), agent=agent, tenant=tenant)

    @property
    def held(self) -> dict[UUID, int]:
        return dict(self._held)


class StruckBreakers(Breakers):
    """Breakers that never open by themselves, but where they are struck."""

    def call(self, name: str, function: Callable[[], Any]) -> Any:
        point("breaker")
        return super().call(name, function)


class Process:
    """One worker process. Every one has a presence of its own, and nobody holds its lock."""

    def __init__(
        self,
        engine: Engine,
        catalogue: AgentCatalogue,
        ports: Ports,
        postman: Postman,
        *,
        serves: Sequence[str],
    ) -> None:
        self.name = f"w{next(_presences)}"
        self.guardian = Guardian(engine)
        self._engine = engine
        self._catalogue = catalogue
        self._postman = postman
        self._ports = ports
        self._serves = serves
        self.deliver = self._executor(apart=True).deliver

    def _executor(self, *, apart: bool) -> Executor:
        return Executor(
            holder=Holder(worker=self.name, presence=0, lease=_LONG, silence=_LONG),
            engine=self._engine,
            catalogue=self._catalogue,
            ports=self._ports,
            leases=self.guardian,  # type: ignore[arg-type]
            settlement=Settlement(
                catalogue=self._catalogue,
                send=self._send,
                remember=_remember,
                max_attempts=MAX_ATTEMPTS,
                retry_cap=_AGES,
            ),
            is_draining=is_draining,
            max_deliveries=MAX_DELIVERIES,
            isolate=self._isolate if apart else None,
            serves=self._serves,
        )

    def _send(self, letters: Sequence[Letter]) -> None:
        self._postman.send(letters)

    def _isolate(self, claim: Claim) -> Apart:
        """As `worker.apart.run_apart`: what kills the child leaves its parent alone."""
        if point("apart") == "full":
            return Apart.NO_ROOM
        child = Process(
            self._engine, self._catalogue, self._ports, self._postman, serves=self._serves
        )
        child.guardian = self.guardian  # who stalls or is cut off, is so with its child
        try:
            with self._engine.connect() as connection:
                envelope = parse_envelope(views.envelope_of(connection, claim.task_id))
            child._executor(apart=False).work(claim, envelope, since=time.monotonic())
        except Killed:
            return Apart.DIED
        return Apart.ENDED


def open_ports(model: ChatModel) -> Ports:
    """What all processes touch outside."""
    return Ports(
        model=model,
        tools=ToolRuntime(breakers=StruckBreakers(failures=10**9), environment={}),
        recall=lambda _envelope: [],
        model_timeout_seconds=1.0,
    )


def _remember(envelope: TaskEnvelope, answer: str, tainted: bool) -> None:
    assert envelope.session_id is None or answer is not None
    point("remember")


@contextmanager
def struck_core() -> Iterator[None]:
    """Put the points into the core's own code, and take its pauses out."""

    def patiently(write: Callable[[], Any]) -> Any:
        def struck() -> Any:
            point("journal.before")
            found = write()
            point("journal.after")
            return found

        return really_patiently(struck)

    def leave(*arguments: Any) -> None:
        really_leave(*arguments)
        point("leave.written")

    really_patiently, really_leave = journal._patiently, endings.leave
    clock = SimpleNamespace(monotonic=time.monotonic, sleep=lambda _seconds: point("accepted"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "_patiently", patiently)
        patch.setattr(execution, "time", clock)
        patch.setattr(arrivals, "SESSION_PAUSE", timedelta(0))
        patch.setattr(endings, "leave", leave)
        patch.setattr(journal, "_STORE_WAITS_SECONDS", (0.0, 0.0))
        # What waits, waits until the machine lets time pass, however long a run really takes.
        patch.setattr(settlement, "_RETRY_BASE_SECONDS", _AGES.total_seconds())
        patch.setattr(settlement, "_ROOM_WAIT_SECONDS", _AGES.total_seconds())
        patch.setattr(sweep, "_SILENCE", _AGES)
        patch.setattr(sweep, "_LONG_SILENCE", _AGES)
        patch.setattr(outbox, "FIRST_SWEEP", _LONG)
        patch.setattr(outbox, "_LOAN", _LONG)
        patch.setattr(runtime, "_BLIP_WAITS_SECONDS", (0.0,))
        yield
