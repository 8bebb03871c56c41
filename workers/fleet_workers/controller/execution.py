"""Takes one delivered task from claim to settlement. Whatever happens, the store knows it."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Connection, Engine

from fleet_contracts.codec import encode_task
from fleet_contracts.envelope import AUTO_AGENT, TaskEnvelope, is_past, parse_envelope
from fleet_contracts.errors import (
    FleetError,
    InvalidInput,
    LeaseLost,
    TransientError,
    UnknownAgent,
    UnknownTenant,
)
from fleet_contracts.outcome import Outcome, OutcomeKind
from fleet_contracts.topology import AGENTS_EXCHANGE
from fleet_workers.agents import AgentCatalogue
from fleet_workers.controller.decision import Finish, Park, Reroute
from fleet_workers.controller.loop import Draining, Ports, run_loop
from fleet_workers.controller.plan import plans, tools_used
from fleet_workers.review.handoff import build_packet
from fleet_workers.review.queue import open_review
from fleet_workers.store import accounts, dead_letters, outbox, tasks
from fleet_workers.store.engine import store_errors
from fleet_workers.store.journal import StepKind, StoredJournal
from fleet_workers.store.leases import LeaseKeeper
from fleet_workers.store.outbox import Letter
from fleet_workers.store.tasks import Claim

log = structlog.get_logger()

_RETRY_BASE_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How often and how long a task may be tried."""

    lease: timedelta
    max_deliveries: int
    max_attempts: int
    retry_cap: timedelta


class Executor:
    """Works on deliveries; one a process, used by every slot.

    `send` takes letters after their transaction has committed and never raises: a letter that the
    broker does not take stays in the outbox for the janitor.
    """

    def __init__(
        self,
        *,
        worker: str,
        engine: Engine,
        catalogue: AgentCatalogue,
        ports: Ports,
        leases: LeaseKeeper,
        send: Callable[[Sequence[Letter]], None],
        remember: Callable[[TaskEnvelope, str], None],
        limits: Limits,
    ) -> None:
        self._worker = worker
        self._engine = engine
        self._catalogue = catalogue
        self._ports = ports
        self._leases = leases
        self._send = send
        self._remember = remember
        self._limits = limits

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
        if envelope.agent != AUTO_AGENT and envelope.agent not in self._catalogue:
            self._catalogue.get(envelope.agent)
        with store_errors(), self._engine.begin() as connection:
            if not accounts.tenant_exists(connection, envelope.tenant):
                raise UnknownTenant(
                    f"No tenant is called {envelope.tenant!r}: "
                    "add it with `fleetctl tenants add NAME`."
                )
            tasks.accept(connection, envelope, traceparent=traceparent)
            return tasks.claim(
                connection, envelope.id, worker=self._worker, lease=self._limits.lease
            )

    def _work(self, claim: Claim, envelope: TaskEnvelope) -> None:
        journal = StoredJournal(self._engine, claim)
        try:
            self._check_limits(claim)
            if is_past(envelope.deadline, datetime.now(UTC)):
                with journal.transaction() as connection:
                    tasks.expire(connection, claim)
                return
            decision = run_loop(
                agent=claim.agent,
                envelope=envelope,
                catalogue=self._catalogue,
                journal=journal,
                ports=self._ports,
            )
            self._settle(decision, claim, envelope, journal)
        except Draining:
            self._hand_back(claim, envelope, journal)
        except LeaseLost:
            raise
        except TransientError as error:
            self._retry(error, claim, envelope, journal)
        except FleetError as error:
            self._bury(error, error.code, claim, envelope, journal)
        except Exception as error:
            log.exception("task.failed")
            self._bury(error, "internal_error", claim, envelope, journal)

    def _check_limits(self, claim: Claim) -> None:
        if claim.deliveries > self._limits.max_deliveries:
            raise TooManyDeliveries(
                f"{claim.deliveries - 1} workers took this task and none finished it."
            )
        if claim.agent != AUTO_AGENT and claim.agent not in self._catalogue:
            raise UnknownAgent(f"Agent {claim.agent} is not installed on this worker.")

    def _settle(
        self,
        decision: Finish | Park | Reroute,
        claim: Claim,
        envelope: TaskEnvelope,
        journal: StoredJournal,
    ) -> None:
        match decision:
            case Finish():
                self._finish(decision, claim, envelope, journal)
            case Park():
                self._park(decision, claim, envelope, journal)
            case Reroute():
                self._hand_back(claim, envelope, journal, agent=decision.agent)

    def _finish(
        self, decision: Finish, claim: Claim, envelope: TaskEnvelope, journal: StoredJournal
    ) -> None:
        with journal.transaction() as connection:
            tasks.succeed(
                connection,
                claim,
                outcome=decision.outcome,
                release=self._catalogue.get(claim.agent).id,
            )
            letters = self._reply(connection, envelope, decision.outcome)
        self._send(letters)
        self._remember(envelope, decision.outcome.answer or "")
        log.info("task.succeeded", agent=claim.agent, kind=decision.outcome.kind)

    def _park(
        self, decision: Park, claim: Claim, envelope: TaskEnvelope, journal: StoredJournal
    ) -> None:
        release = self._catalogue.get(claim.agent).id if claim.agent != AUTO_AGENT else None
        steps = journal.steps()
        outcome = Outcome(
            kind=OutcomeKind.REVIEW,
            answer=None,
            confidence=decision.confidence,
            reason=decision.reason,
            review_kind=decision.kind,
            tools_used=tools_used(steps),
            **_model_of(journal, claim.agent),
        )
        packet = build_packet(
            envelope,
            steps,
            agent=claim.agent,
            release=release,
            reason=decision.reason,
            proposal=decision.proposal,
            confidence=decision.confidence,
        )
        with journal.transaction() as connection:
            tasks.park(connection, claim, outcome=outcome, release=release)
            letter = open_review(
                connection,
                envelope,
                agent=claim.agent,
                kind=decision.kind,
                reason=decision.reason,
                packet=packet,
            )
            letters = [letter, *self._reply(connection, envelope, outcome)]
        self._send(letters)
        log.info("task.in_review", agent=claim.agent, kind=decision.kind)

    def _hand_back(
        self,
        claim: Claim,
        envelope: TaskEnvelope,
        journal: StoredJournal,
        *,
        agent: str | None = None,
    ) -> None:
        with journal.transaction() as connection:
            tasks.hand_back(connection, claim, agent=agent)
            letter = outbox.post(
                connection,
                AGENTS_EXCHANGE,
                encode_task(envelope, agent=agent or claim.agent, traceparent=claim.traceparent),
            )
        self._send([letter])
        log.info("task.handed_back", agent=agent or claim.agent)

    def _retry(
        self,
        error: TransientError,
        claim: Claim,
        envelope: TaskEnvelope,
        journal: StoredJournal,
    ) -> None:
        if claim.attempts + 1 >= self._limits.max_attempts:
            self._bury(error, "attempts_used_up", claim, envelope, journal)
            return
        delay = self._delay(claim.attempts, error.retry_after_seconds)
        journal.record(
            StepKind.FAILURE, error.code, {"error": str(error), "retry_in_seconds": delay}
        )
        with journal.transaction() as connection:
            tasks.retry_later(
                connection, claim, delay=timedelta(seconds=delay), error=_as_record(error)
            )
        log.warning("task.retrying", error=str(error), retry_in_seconds=round(delay, 2))

    def _delay(self, attempts: int, retry_after_seconds: float | None) -> float:
        """Full jitter (Brooker, "Exponential Backoff And Jitter"), never under what was asked."""
        cap = self._limits.retry_cap.total_seconds()
        jittered = random.uniform(0, min(cap, _RETRY_BASE_SECONDS * 2**attempts))  # noqa: S311 jitter
        return max(jittered, min(cap, retry_after_seconds or 0.0))

    def _bury(
        self,
        error: Exception,
        reason: str,
        claim: Claim,
        envelope: TaskEnvelope,
        journal: StoredJournal,
    ) -> None:
        journal.record(StepKind.FAILURE, reason, {"error": str(error)})
        outcome = Outcome(
            kind=OutcomeKind.DEAD,
            reason=str(error),
            tools_used=tools_used(journal.steps()),
            **_model_of(journal, claim.agent),
        )
        attempts = [
            {"error": step.name, **dict(step.result or {})}
            for step in journal.steps()
            if step.kind is StepKind.FAILURE
        ]
        with journal.transaction() as connection:
            tasks.bury(connection, claim, outcome=outcome, error=_as_record(error))
            dead_letters.add(
                connection,
                reason=reason,
                error=str(error),
                body=envelope.to_json(),
                task_id=envelope.id,
                tenant=envelope.tenant,
                agent=claim.agent,
                attempts=attempts,
                traceparent=claim.traceparent,
            )
            letters = self._reply(connection, envelope, outcome)
        self._send(letters)
        log.error("task.dead", reason=reason, error=str(error))

    def _reply(
        self, connection: Connection, envelope: TaskEnvelope, outcome: Outcome
    ) -> list[Letter]:
        if envelope.reply_to is None:
            return []
        body = outcome.model_dump_json()
        message = outbox.plain_message(
            envelope.reply_to, body, headers={"task_id": str(envelope.id)}
        )
        return [outbox.post(connection, "", message)]


class TooManyDeliveries(FleetError):
    """The task keeps losing its worker."""

    code = "max_deliveries"


def _model_of(journal: StoredJournal, agent: str) -> Mapping[str, Any]:
    made = plans(journal.steps(), agent)
    return {"model": made[-1].model, "offline": made[-1].offline} if made else {}


def _as_record(error: Exception) -> dict[str, Any]:
    code = error.code if isinstance(error, FleetError) else type(error).__name__
    return {"code": code, "message": str(error)}
