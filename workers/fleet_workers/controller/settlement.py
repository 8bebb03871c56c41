"""Every way out of `running`: one transaction each, and the messages that follow its commit."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import Connection

from fleet_contracts.codec import encode_task
from fleet_contracts.envelope import AUTO_AGENT, TaskEnvelope
from fleet_contracts.errors import BreakerOpen, FleetError, TransientError
from fleet_contracts.outcome import Outcome, OutcomeKind
from fleet_contracts.topology import AGENTS_EXCHANGE
from fleet_workers.agents import AgentCatalogue
from fleet_workers.controller.decision import Finish, Park, Reroute
from fleet_workers.controller.plan import plans, tools_used
from fleet_workers.review.handoff import build_packet
from fleet_workers.review.queue import open_review
from fleet_workers.store import dead_letters, outbox, tasks
from fleet_workers.store.journal import StepKind, StoredJournal
from fleet_workers.store.outbox import Letter
from fleet_workers.store.tasks import Claim

log = structlog.get_logger()

_RETRY_BASE_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A claimed task with its journal."""

    claim: Claim
    envelope: TaskEnvelope
    journal: StoredJournal


class Settlement:
    """Writes how a run ended.

    `send` takes letters after their transaction has committed and never raises: a letter that the
    broker does not take stays in the outbox for the janitor.
    """

    def __init__(
        self,
        *,
        catalogue: AgentCatalogue,
        send: Callable[[Sequence[Letter]], None],
        remember: Callable[[TaskEnvelope, str], None],
        max_attempts: int,
        retry_cap: timedelta,
    ) -> None:
        self._catalogue = catalogue
        self._send = send
        self._remember = remember
        self._max_attempts = max_attempts
        self._retry_cap = retry_cap

    def settle(self, decision: Finish | Park | Reroute, held: Held) -> None:
        """Write what the loop came to."""
        match decision:
            case Finish():
                self._finish(decision, held)
            case Park():
                self._park(decision, held)
            case Reroute():
                self.hand_back(held, agent=decision.agent)

    def expire(self, held: Held) -> None:
        """End a task whose deadline has passed."""
        with held.journal.transaction() as connection:
            tasks.expire(connection, held.claim)

    def _finish(self, decision: Finish, held: Held) -> None:
        claim, envelope, journal = held.claim, held.envelope, held.journal
        with journal.transaction() as connection:
            tasks.succeed(
                connection,
                claim,
                outcome=decision.outcome,
                release=self._catalogue.get(claim.agent).id,
            )
            letters = _reply(connection, envelope, decision.outcome)
        self._send(letters)
        self._remember(envelope, decision.outcome.answer or "")
        log.info("task.succeeded", agent=claim.agent, kind=decision.outcome.kind)

    def _park(self, decision: Park, held: Held) -> None:
        claim, envelope, journal = held.claim, held.envelope, held.journal
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
            letters = [letter, *_reply(connection, envelope, outcome)]
        self._send(letters)
        log.info("task.in_review", agent=claim.agent, kind=decision.kind)

    def hand_back(self, held: Held, *, agent: str | None = None) -> None:
        """Queue a task again, for another agent where one is named."""
        claim, envelope, journal = held.claim, held.envelope, held.journal
        with journal.transaction() as connection:
            tasks.hand_back(connection, claim, agent=agent)
            letter = outbox.post(
                connection,
                AGENTS_EXCHANGE,
                encode_task(envelope, agent=agent or claim.agent, traceparent=claim.traceparent),
            )
        self._send([letter])
        log.info("task.handed_back", agent=agent or claim.agent)

    def retry(self, error: TransientError, held: Held) -> None:
        """Let a task wait for its next attempt, or give it up after the last one.

        A wait for a breaker uses up no attempt: nothing was tried.
        """
        claim, journal = held.claim, held.journal
        counts = not isinstance(error, BreakerOpen)
        if counts and claim.attempts + 1 >= self._max_attempts:
            self.bury(error, "attempts_used_up", held)
            return
        delay = self._delay(claim.attempts, error.retry_after_seconds)
        journal.record(
            StepKind.FAILURE, error.code, {"error": str(error), "retry_in_seconds": delay}
        )
        with journal.transaction() as connection:
            tasks.retry_later(
                connection,
                claim,
                delay=timedelta(seconds=delay),
                error=_as_record(error),
                counts=counts,
            )
        log.warning("task.retrying", error=str(error), retry_in_seconds=round(delay, 2))

    def _delay(self, attempts: int, retry_after_seconds: float | None) -> float:
        """Full jitter (Brooker, "Exponential Backoff And Jitter") on top of what was asked for."""
        cap = self._retry_cap.total_seconds()
        jitter = random.uniform(0, _RETRY_BASE_SECONDS * 2**attempts)  # noqa: S311 jitter
        return min(cap, (retry_after_seconds or 0.0) + jitter)

    def bury(self, error: Exception, reason: str, held: Held) -> None:
        """Give a task up: its dead letter keeps envelope, error, attempts and trace."""
        claim, envelope, journal = held.claim, held.envelope, held.journal
        journal.record(StepKind.FAILURE, reason, {"error": str(error)})
        outcome = Outcome(
            kind=OutcomeKind.DEAD,
            reason=str(error),
            tools_used=tools_used(journal.steps()),
            **_model_of(journal, claim.agent),
        )
        attempts = [
            {"code": step.name, **dict(step.result or {})}
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
            letters = _reply(connection, envelope, outcome)
        self._send(letters)
        log.error("task.dead", reason=reason, error=str(error))


def _reply(connection: Connection, envelope: TaskEnvelope, outcome: Outcome) -> list[Letter]:
    if envelope.reply_to is None:
        return []
    body = outcome.model_dump_json()
    message = outbox.plain_message(envelope.reply_to, body, headers={"task_id": str(envelope.id)})
    return [outbox.post(connection, "", message)]


def _model_of(journal: StoredJournal, agent: str) -> Mapping[str, Any]:
    made = plans(journal.steps(), agent)
    return {"model": made[-1].model, "offline": made[-1].offline} if made else {}


def _as_record(error: Exception) -> dict[str, Any]:
    code = error.code if isinstance(error, FleetError) else type(error).__name__
    return {"code": code, "message": str(error)}
