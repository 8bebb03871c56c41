"""Every way out of `running`: one transaction each, and the messages that follow its commit."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Connection

from fleet_contracts.envelope import AUTO_AGENT, TaskEnvelope
from fleet_contracts.errors import FleetError, TransientError
from fleet_contracts.outcome import Outcome, OutcomeKind
from fleet_contracts.states import TaskState
from fleet_workers.agents import AgentCatalogue, AgentRelease
from fleet_workers.controller.conclude import outcome_of
from fleet_workers.controller.decision import Finish, Park, Reroute
from fleet_workers.controller.plan import plans, tools_used
from fleet_workers.controller.situation import Situation
from fleet_workers.controller.trust import trust_before
from fleet_workers.review.handoff import build_packet
from fleet_workers.review.queue import open_review
from fleet_workers.store import dead_letters, endings, outbox, sessions
from fleet_workers.store.claims import Claim
from fleet_workers.store.endings import Ending
from fleet_workers.store.journal import CorruptJournal, Post, StepKind, StoredJournal
from fleet_workers.store.outbox import Letter
from fleet_workers.telemetry import span_names as names
from fleet_workers.telemetry import traces
from fleet_workers.telemetry.counting import observe_confidence

log = structlog.get_logger()

_RETRY_BASE_SECONDS = 1.0
_ROOM_WAIT_SECONDS = 3.0  # what a task's own process takes to start and end
_LONGEST_ASKED_SECONDS = 24 * 3600.0  # a server that asks for more is waited for a day at a time


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
        remember: Callable[[TaskEnvelope, str, bool], None],
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
        self._leave(held, endings.expired())

    def _finish(self, decision: Finish, held: Held) -> None:
        claim, envelope = held.claim, held.envelope
        release = self._catalogue.get(claim.agent)
        if decision.outcome.kind is OutcomeKind.REJECTED:
            ending = endings.rejected(decision.outcome, release.id)
            self._leave(held, ending, reply=decision.outcome)
            log.info("task.rejected", agent=claim.agent, reason=decision.outcome.reason)
            return
        letters = self._write(
            held, endings.succeeded(decision.outcome, release.id), reply=decision.outcome
        )
        # Before the next task of the session is woken, which shall read it.
        self._remember(envelope, decision.outcome.answer or "", _is_tainted(release, held))
        self._send(letters)
        observe_confidence(claim.agent, decision.outcome.confidence)
        log.info("task.succeeded", agent=claim.agent, kind=decision.outcome.kind)

    def _park(self, decision: Park, held: Held) -> None:
        claim, envelope, journal = held.claim, held.envelope, held.journal
        made_by = self._catalogue.get(claim.agent) if claim.agent != AUTO_AGENT else None
        release = made_by.id if made_by is not None else None
        steps = journal.steps()
        outcome = outcome_of(decision, steps).model_copy(update=_model_of(journal, claim.agent))
        packet = build_packet(
            envelope,
            steps,
            agent=claim.agent,
            release=release,
            reason=decision.reason,
            proposal=decision.proposal,
            confidence=decision.confidence,
            kind=decision.kind,
            gates=decision.gates,
            evidence=decision.evidence,
            made_by=made_by,
        )

        def announce(connection: Connection) -> list[Letter]:
            letter = open_review(
                connection,
                envelope,
                agent=claim.agent,
                kind=decision.kind,
                reason=decision.reason,
                packet=packet,
                rules=made_by.manifest.reviews if made_by is not None else {},
            )
            return [letter]

        self._leave(held, endings.parked(outcome, release), post=announce, reply=outcome)
        observe_confidence(claim.agent, decision.confidence)
        log.info("task.in_review", agent=claim.agent, kind=decision.kind)

    def hand_back(self, held: Held, *, agent: str | None = None, wake: bool = True) -> None:
        """Queue a task again, for another agent where one is named.

        Without `wake` no message is sent: the janitor wakes it when it may run again.
        """
        claim = held.claim
        to_agent = agent or claim.agent

        def send_on(connection: Connection) -> list[Letter]:
            letter = outbox.post_task(
                connection, held.envelope, agent=to_agent, traceparent=claim.traceparent
            )
            return [letter]

        ending = endings.handed_back(agent=agent, with_message=wake)
        self._leave(held, ending, post=send_on if wake else None)
        log.info("task.handed_back", agent=to_agent)

    def count_lost_worker(self, held: Held) -> None:
        """Queue a task again whose own process died; the delivery stays counted."""

        def send_on(connection: Connection) -> list[Letter]:
            letter = outbox.post_task(
                connection,
                held.envelope,
                agent=held.claim.agent,
                traceparent=held.claim.traceparent,
            )
            return [letter]

        self._leave(held, endings.worker_lost(held.claim), post=send_on)

    def wait_for_room(self, held: Held) -> None:
        """Let a task wait that needs a process of its own and finds no room; nothing is counted."""
        delay_seconds = random.uniform(0.5, 1.5) * _ROOM_WAIT_SECONDS  # noqa: S311 jitter
        self._leave(held, endings.waiting(held.claim, delay=timedelta(seconds=delay_seconds)))

    def retry(self, error: TransientError, held: Held) -> None:
        """Let a task wait for its next attempt, or give it up after the last one.

        Where nothing was tried (a breaker is open, an earlier request may be under way) no
        attempt is used up.
        """
        claim, journal = held.claim, held.journal
        counts = error.counts_attempt
        if counts and claim.attempts + 1 >= self._max_attempts:
            self.bury(error, "attempts_used_up", held)
            return
        delay = self._delay(claim.attempts, error.retry_after_seconds)
        journal.record(
            StepKind.FAILURE, error.code, {"error": str(error), "retry_in_seconds": delay}
        )
        ending = endings.retrying(
            claim, delay=timedelta(seconds=delay), error=_as_record(error), counts=counts
        )
        self._leave(held, ending)
        log.warning("task.retrying", error=str(error), retry_in_seconds=round(delay, 2))

    def _delay(self, attempts: int, retry_after_seconds: float | None) -> float:
        """Full jitter (Brooker, "Exponential Backoff And Jitter") on top of what was asked for."""
        cap = min(self._retry_cap.total_seconds(), _RETRY_BASE_SECONDS * 2**attempts)
        jitter = random.uniform(0, cap)  # noqa: S311 jitter
        return min(_LONGEST_ASKED_SECONDS, retry_after_seconds or 0.0) + jitter

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
        attempts = journal.failures()

        def add_letter(connection: Connection) -> list[Letter]:
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
            return []

        self._leave(held, endings.dead(outcome, _as_record(error)), post=add_letter, reply=outcome)
        log.error("task.dead", reason=reason, error=str(error))

    def _leave(
        self, held: Held, ending: Ending, *, post: Post | None = None, reply: Outcome | None = None
    ) -> None:
        """End the run in one transaction, and send what it wrote after the commit."""
        self._send(self._write(held, ending, post=post, reply=reply))

    def _write(
        self, held: Held, ending: Ending, *, post: Post | None = None, reply: Outcome | None = None
    ) -> list[Letter]:
        """End the run in one transaction; gives the letters to send.

        The end of a task of a session wakes the next one, where it is its turn; so does its way
        to a person.
        """
        envelope = held.envelope
        traces.current().set({names.TASK_STATE: str(ending["state"])})
        lets_next_go = envelope.session_id is not None and (
            "finished" in ending or ending["state"] == TaskState.IN_REVIEW
        )

        def everything(connection: Connection) -> list[Letter]:
            letters = list(post(connection)) if post else []
            letters += _reply(connection, envelope, reply) if reply else []
            return letters + (sessions.wake_next(connection, envelope) if lets_next_go else [])

        wanted = post or lets_next_go or (reply and envelope.reply_to)
        return held.journal.leave(ending, post=everything if wanted else None)


def _reply(connection: Connection, envelope: TaskEnvelope, outcome: Outcome) -> list[Letter]:
    if envelope.reply_to is None:
        return []
    return [outbox.post_reply(connection, envelope, outcome)]


def _model_of(journal: StoredJournal, agent: str) -> Mapping[str, Any]:
    try:
        made = plans(journal.steps(), agent)
    except CorruptJournal:  # the very reason for which the task is given up
        made = []
    return {"model": made[-1].model, "offline": made[-1].offline} if made else {}


def _is_tainted(release: AgentRelease, held: Held) -> bool:
    """Whether the answer was found after untrusted text had been read."""
    if held.envelope.session_id is None:
        return False
    steps = held.journal.steps()
    situation = Situation(
        release=release, envelope=held.envelope, steps=steps, now=datetime.now(UTC)
    )
    return trust_before(situation, len(steps)).is_tainted


def _as_record(error: Exception) -> dict[str, Any]:
    code = error.code if isinstance(error, FleetError) else type(error).__name__
    return {"code": code, "message": str(error)}
