"""Takes one delivery from claim to settlement. Whatever happens, the store knows it."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum

import structlog
from sqlalchemy import Connection, Engine

from fleet_contracts.codec import valid_traceparent
from fleet_contracts.envelope import AUTO_AGENT, TaskEnvelope, is_past, parse_envelope
from fleet_contracts.errors import (
    FleetError,
    InvalidInput,
    LeaseLost,
    TransientError,
    UnknownAgent,
    UnknownTenant,
)
from fleet_workers.agents import AgentCatalogue
from fleet_workers.controller.loop import run_loop
from fleet_workers.controller.ports import Draining, Guard, Ports
from fleet_workers.controller.settlement import Held, Settlement
from fleet_workers.store import accounts, claims, dead_letters, sessions, tasks
from fleet_workers.store.claims import Claim, Holder
from fleet_workers.store.engine import store_errors
from fleet_workers.store.journal import StoredJournal
from fleet_workers.store.leases import LeaseKeeper

log = structlog.get_logger()

ISOLATED_FROM = 3
"""The delivery from which on a task has a process of its own: it was there when two died."""

_SESSION_PAUSE_SECONDS = 0.1
"""A task of a session that came over the broker lets those before it reach the store first."""


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
    ) -> None:
        self._holder = holder
        self._engine = engine
        self._catalogue = catalogue
        self._ports = ports
        self._leases = leases
        self._settlement = settlement
        self._is_draining = is_draining
        self._max_deliveries = max_deliveries
        self._isolate = isolate

    def deliver(
        self,
        payload: object,
        *,
        queue: str,
        traceparent: object,
        stored: bool = False,
        submitted_at: datetime | None = None,
    ) -> None:
        """Take a message in. Returning means that the message is no longer needed.

        `traceparent` is the message's header, of whatever kind; `stored` is its hint that the
        task stands in the store.

        Raises:
            Unavailable: The store is away: the message must stay on the broker.
        """
        trace = valid_traceparent(traceparent)
        try:
            envelope = parse_envelope(payload)
        except InvalidInput as error:
            self.bury_message(
                payload if isinstance(payload, str) else json.dumps(payload, default=str),
                error,
                queue=queue,
                traceparent=trace,
            )
            return
        with structlog.contextvars.bound_contextvars(task=str(envelope.id), tenant=envelope.tenant):
            asked_at = time.monotonic()
            try:
                claim = self._accept_and_claim(envelope, trace, stored, submitted_at)
            except InvalidInput as error:
                self.bury_message(
                    envelope.to_json(), error, queue=queue, traceparent=trace, of=envelope
                )
                return
            if claim is None:
                log.info("task.not_to_be_run_now")
                return
            self.work(claim, envelope, since=asked_at)

    def work(self, claim: Claim, envelope: TaskEnvelope, *, since: float) -> None:
        """Work on a claimed task to its end, or to where it must wait.

        `since` is when the claim was asked for (time.monotonic).
        """
        self._leases.hold(claim, since=since)
        try:
            self._work(claim, envelope)
        except LeaseLost:
            log.info("task.lease_lost", epoch=claim.epoch)
        finally:
            self._leases.let_go(claim)

    def bury_message(
        self,
        body: str,
        error: FleetError,
        *,
        queue: str,
        traceparent: str | None = None,
        of: TaskEnvelope | None = None,
    ) -> None:
        """Put a message that cannot become a task among the dead letters."""
        with store_errors(), self._engine.begin() as connection:
            dead_letters.add(
                connection,
                reason=error.code,
                error=str(error),
                body=body,
                queue=queue,
                traceparent=traceparent,
                task_id=of.id if of else None,
                tenant=of.tenant if of else None,
                agent=of.agent if of else None,
            )
        log.warning("message.dead", reason=error.code, error=str(error), queue=queue)

    def _accept_and_claim(
        self,
        envelope: TaskEnvelope,
        traceparent: str | None,
        stored: bool,
        submitted_at: datetime | None,
    ) -> Claim | None:
        # A stored task whose agent is not known is itself given up, with its journal.
        if envelope.agent != AUTO_AGENT and not stored:
            self._catalogue.get(envelope.agent)
        if envelope.session_id is None:
            if stored:
                claim = claims.claim(
                    self._engine, envelope.id, self._holder, content_hash=envelope.content_hash
                )
            else:
                claim = claims.take_new(
                    self._engine,
                    envelope,
                    self._holder,
                    traceparent=traceparent,
                    submitted_at=submitted_at,
                )
            if claim is not None:
                return claim
        return self._claim_with_care(envelope, traceparent, submitted_at)

    def _claim_with_care(
        self, envelope: TaskEnvelope, traceparent: str | None, submitted_at: datetime | None
    ) -> Claim | None:
        """The way for tasks that are known already, paused, or of a session."""
        with store_errors(), self._engine.begin() as connection:
            _require_tenant(connection, envelope.tenant)
            is_new = tasks.accept(
                connection, envelope, traceparent=traceparent, submitted_at=submitted_at
            )
        if is_new and envelope.session_id is not None:
            time.sleep(_SESSION_PAUSE_SECONDS)
        with store_errors(), self._engine.begin() as connection:
            if envelope.session_id is not None:
                sessions.lock(connection, envelope)
            claim = claims.claim(connection, envelope.id, self._holder)
            if claim is None:
                tasks.mark_unwoken(connection, envelope.id)
            return claim

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
        decision = run_loop(
            agent=claim.agent,
            envelope=held.envelope,
            catalogue=self._catalogue,
            journal=held.journal,
            ports=self._ports,
            guard=guard,
        )
        self._settlement.settle(decision, held)

    def _work_apart(self, isolate: Callable[[Claim], Apart], held: Held) -> None:
        """Let a task that was there when workers died do no harm to its neighbours.

        The delivery counts only where the task's own process dies: whatever ends this one
        meanwhile, it cannot have been the task.
        """
        claims.uncount(self._engine, held.claim)
        outcome = isolate(held.claim)
        log.warning("task.isolated", deliveries=held.claim.deliveries, outcome=outcome)
        if outcome is Apart.DIED:
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


def _require_tenant(connection: Connection, name: str) -> None:
    if not accounts.tenant_exists(connection, name):
        raise UnknownTenant(
            f"No tenant is called {name!r}: add it with `fleetctl tenants add NAME`."
        )
