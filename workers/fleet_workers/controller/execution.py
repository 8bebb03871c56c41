"""Takes one delivery from claim to settlement. Whatever happens, the store knows it."""

from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import Engine

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
from fleet_workers.controller.loop import Draining, Ports, run_loop
from fleet_workers.controller.settlement import Held, Settlement
from fleet_workers.store import accounts, dead_letters, tasks
from fleet_workers.store.engine import store_errors
from fleet_workers.store.journal import StoredJournal
from fleet_workers.store.leases import LeaseKeeper
from fleet_workers.store.tasks import Claim

log = structlog.get_logger()


class TooManyDeliveries(FleetError):
    """The task keeps losing its worker."""

    code = "max_deliveries"


class Executor:
    """Works on deliveries; one a process, used by every slot."""

    def __init__(
        self,
        *,
        worker: str,
        engine: Engine,
        catalogue: AgentCatalogue,
        ports: Ports,
        leases: LeaseKeeper,
        settlement: Settlement,
        lease: timedelta,
        max_deliveries: int,
    ) -> None:
        self._worker = worker
        self._engine = engine
        self._catalogue = catalogue
        self._ports = ports
        self._leases = leases
        self._settlement = settlement
        self._lease = lease
        self._max_deliveries = max_deliveries

    def deliver(self, payload: object, *, queue: str, traceparent: str | None) -> None:
        """Take a message in. Returning means that the message is no longer needed.

        Raises:
            Unavailable: The store is away: the message must stay on the broker.
        """
        try:
            envelope = parse_envelope(payload)
        except InvalidInput as error:
            self.bury_message(str(payload), error, queue=queue, traceparent=traceparent)
            return
        with structlog.contextvars.bound_contextvars(task=str(envelope.id), tenant=envelope.tenant):
            try:
                claim = self._accept_and_claim(envelope, traceparent)
            except InvalidInput as error:
                self.bury_message(
                    envelope.to_json(), error, queue=queue, traceparent=traceparent, of=envelope
                )
                return
            if claim is None:
                log.info("task.held_elsewhere")
                return
            self._leases.hold(claim)
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

    def _accept_and_claim(self, envelope: TaskEnvelope, traceparent: str | None) -> Claim | None:
        if envelope.agent != AUTO_AGENT:
            self._catalogue.get(envelope.agent)
        with store_errors(), self._engine.begin() as connection:
            if not accounts.tenant_exists(connection, envelope.tenant):
                raise UnknownTenant(
                    f"No tenant is called {envelope.tenant!r}: "
                    "add it with `fleetctl tenants add NAME`."
                )
            tasks.accept(connection, envelope, traceparent=traceparent)
            return tasks.claim(connection, envelope.id, worker=self._worker, lease=self._lease)

    def _work(self, claim: Claim, envelope: TaskEnvelope) -> None:
        held = Held(claim=claim, envelope=envelope, journal=StoredJournal(self._engine, claim))
        try:
            self._check_limits(claim)
            if is_past(envelope.deadline, datetime.now(UTC)):
                self._settlement.expire(held)
                return
            decision = run_loop(
                agent=claim.agent,
                envelope=envelope,
                catalogue=self._catalogue,
                journal=held.journal,
                ports=self._ports,
            )
            self._settlement.settle(decision, held)
        except Draining:
            self._settlement.hand_back(held)
        except LeaseLost:
            raise
        except TransientError as error:
            self._settlement.retry(error, held)
        except FleetError as error:
            self._settlement.bury(error, error.code, held)
        except Exception as error:
            log.exception("task.failed")
            self._settlement.bury(error, "internal_error", held)

    def _check_limits(self, claim: Claim) -> None:
        if claim.deliveries > self._max_deliveries:
            raise TooManyDeliveries(
                f"{claim.deliveries - 1} workers took this task and none finished it."
            )
        if claim.agent != AUTO_AGENT and claim.agent not in self._catalogue:
            raise UnknownAgent(f"Agent {claim.agent} is not installed on this worker.")
