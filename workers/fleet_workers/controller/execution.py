"""Takes one delivery from claim to settlement. Whatever happens, the store knows it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum

import structlog
from sqlalchemy import Engine

from fleet_contracts.envelope import AUTO_AGENT, TaskEnvelope, is_past
from fleet_contracts.errors import FleetError, LeaseLost, TransientError, UnknownAgent
from fleet_contracts.topology import agent_address
from fleet_workers.agents import AgentCatalogue
from fleet_workers.controller import run_traces
from fleet_workers.controller.loop import run_loop
from fleet_workers.controller.ports import Draining, Guard, Ports
from fleet_workers.controller.reception import Delivery, Reception
from fleet_workers.controller.settlement import Held, Settlement
from fleet_workers.controller.shares import Shares
from fleet_workers.controller.turns import Idle, Taken, Turns
from fleet_workers.store import claims
from fleet_workers.store.arrivals import SESSION_PAUSE, Arrival
from fleet_workers.store.claims import Claim, Holder
from fleet_workers.store.journal import StoredJournal
from fleet_workers.store.leases import LeaseKeeper
from fleet_workers.telemetry.run_scope import RunScope, note_claim, working_on

log = structlog.get_logger()

ISOLATED_FROM = 3
"""The delivery from which on a task has a process of its own: it was there when two died."""


class TooManyDeliveries(FleetError):
    """The task keeps losing its worker."""

    code = "max_deliveries"


class Apart(StrEnum):
    """What came of a task's own process: it ended by itself, died, or found no room to start."""

    ENDED = "ended"
    DIED = "died"
    NO_ROOM = "no_room"


class Executor:
    """Works on deliveries; one a process, used by every slot.

    `isolate` runs a claimed task in a process of its own; None where this process is one.
    `serves` are the agents whose tasks it takes; without any, those of a message's own queue.
    """

    def __init__(
        self,
        *,
        holder: Holder,
        engine: Engine,
        catalogue: AgentCatalogue,
        ports: Ports,
        leases: LeaseKeeper,
        settlement: Settlement,
        is_draining: Callable[[], bool],
        max_deliveries: int,
        isolate: Callable[[Claim], Apart] | None = None,
        serves: Sequence[str] = (),
        shares: Shares | None = None,
    ) -> None:
        self.reception = Reception(engine, catalogue)
        self.shares = shares or Shares()
        self._turns = Turns(engine, holder, self.shares)
        self._serves = tuple(serves)
        self._holder = holder
        self._engine = engine
        self._catalogue = catalogue
        self._ports = ports
        self._leases = leases
        self._settlement = settlement
        self._is_draining = is_draining
        self._max_deliveries = max_deliveries
        self._isolate = isolate

    def deliver(self, delivery: Delivery) -> bool:
        """Take a message in, and work on the task that is next, which need not be the message's.

        Returning means that the message is no longer needed; what is returned tells whether other
        tasks may wait.

        Raises:
            Unavailable: The store is away: the message must stay on the broker.
        """
        began = datetime.now(UTC)
        arrival = self.reception.read(delivery)
        if arrival is None:
            return False
        taken = self._take_new(arrival)
        if taken is not None:
            self.run(taken, began=began)
            return False
        agents = self._serves or (arrival.queue.removeprefix(agent_address("")),)
        if not arrival.is_stored:
            self._take_in(arrival)
        found = self._turns.take_next(agents)
        if isinstance(found, Idle) and arrival.is_stored and self._take_in(arrival):
            found = self._turns.take_next(agents)
        if isinstance(found, Idle):
            log.info("task.not_to_be_run_now", task=str(arrival.envelope.id))
            return found is not Idle.EMPTY
        self.run(found, began=began)
        if arrival.is_stored and found.envelope != arrival.envelope:
            self._take_in(arrival)  # its hint may be wrong
        return True

    def take_next(self) -> Taken | Idle:
        """Claim the task that is next; `run` works on it.

        Raises:
            Unavailable: The store is away.
        """
        return self._turns.take_next(self._serves)

    def run(self, taken: Taken, *, began: datetime | None = None) -> None:
        """Work on a task that was taken to its end, or to where it must wait.

        `began` is when its message came, or else when it was claimed.
        """
        envelope = taken.envelope
        scope = RunScope(task=str(envelope.id), tenant=envelope.tenant, words=envelope.input)
        try:
            with working_on(scope):
                claim = run_traces.with_trace(self._engine, taken.claim)
                began = began or datetime.now(UTC)
                with run_traces.process_span(claim, envelope, began=began):
                    self.work(claim, envelope, since=taken.since)
        finally:
            self.shares.end(envelope.tenant, taken.claim.agent)

    def work(self, claim: Claim, envelope: TaskEnvelope, *, since: float) -> None:
        """Work on a claimed task to its end, or to where it must wait.

        `since` is when the claim was asked for (time.monotonic).
        """
        note_claim(claim.agent, claim.epoch, claim.traceparent)
        self._leases.hold(claim, since=since)
        try:
            self._work(claim, envelope)
        except LeaseLost:
            log.info("task.lease_lost", epoch=claim.epoch)
        finally:
            self._leases.let_go(claim)

    def _take_new(self, arrival: Arrival) -> Taken | None:
        """Record and claim a new task in one statement, where nothing waits before it."""
        envelope, since = arrival.envelope, time.monotonic()
        if arrival.is_stored or envelope.session_id is not None or envelope.is_timed:
            return None
        passed_over = self.shares.passed_over_by(envelope.tenant)
        if passed_over is None:
            return None
        claim = claims.take_new(
            self._engine,
            envelope,
            self._holder,
            traceparent=arrival.traceparent or run_traces.trace_for_new(envelope.id),
            submitted_at=arrival.submitted_at,
            passed_over=passed_over,
        )
        if claim is None:
            return None
        self.shares.begin(envelope.tenant)
        return Taken(claim=claim, envelope=envelope, since=since)

    def _take_in(self, arrival: Arrival) -> bool:
        is_new = arrival.envelope.id in self.reception.take_in([arrival])
        if is_new and arrival.envelope.session_id is not None:
            time.sleep(SESSION_PAUSE.total_seconds())
        return is_new

    def _work(self, claim: Claim, envelope: TaskEnvelope) -> None:
        # A journal may be what kills the process that reads it: suspects are read by their own.
        unread = StoredJournal.unread(self._engine, claim)
        held = Held(claim=claim, envelope=envelope, journal=unread)
        try:
            self._check_limits(claim)
            if is_past(envelope.deadline, datetime.now(UTC)):
                self._settlement.expire(held)
            elif self._isolate is not None and claim.deliveries >= ISOLATED_FROM:
                self._work_apart(self._isolate, held)
            else:
                held = replace(held, journal=StoredJournal(self._engine, claim))
                self._run(held)
        except Draining:
            self._settlement.hand_back(held, wake=not self._is_paused(held))
        except LeaseLost:
            raise
        except TransientError as error:
            self._settlement.retry(error, held)
        except FleetError as error:
            self._settlement.bury(error, error.code, held)
        except Exception as error:
            log.exception("task.failed")
            self._settlement.bury(error, "internal_error", held)

    def _run(self, held: Held) -> None:
        claim = held.claim
        guard = Guard(
            must_yield=lambda: self._is_draining() or self._is_paused(held),
            fence=lambda: self._leases.check(claim),
        )
        release = self._catalogue.get(claim.agent).id if claim.agent != AUTO_AGENT else None
        steps = held.journal.steps()
        with run_traces.agent_span(claim, held.envelope, steps, release=release) as span:
            decision = run_loop(
                agent=claim.agent,
                envelope=held.envelope,
                catalogue=self._catalogue,
                journal=held.journal,
                ports=self._ports,
                guard=guard,
            )
            run_traces.note_decision(span, decision)
            self._settlement.settle(decision, held)

    def _work_apart(self, isolate: Callable[[Claim], Apart], held: Held) -> None:
        """Let a task that was there when workers died do no harm to its neighbours.

        The delivery counts only where the task's own process dies: whatever ends this one
        meanwhile, it cannot have been the task.
        """
        claims.uncount(self._engine, held.claim)
        begun = datetime.now(UTC)
        outcome = isolate(held.claim)
        log.warning("task.isolated", deliveries=held.claim.deliveries, outcome=outcome)
        if outcome is Apart.DIED:
            run_traces.tell_lost_agent(held.claim, held.envelope, began=begun)
            self._settlement.count_lost_worker(held)
        elif outcome is Apart.NO_ROOM:
            self._settlement.wait_for_room(held)

    def _is_paused(self, held: Held) -> bool:
        return self._leases.is_paused(agent=held.claim.agent, tenant=held.envelope.tenant)

    def _check_limits(self, claim: Claim) -> None:
        if claim.deliveries > self._max_deliveries:
            raise TooManyDeliveries(
                f"{claim.deliveries - 1} workers took this task and none finished it."
            )
        if claim.agent != AUTO_AGENT and claim.agent not in self._catalogue:
            raise UnknownAgent(f"Agent {claim.agent} is not installed on this worker.")
