"""What a person decides about a task in review, and how the task goes on from there.

A decision and its consequence are one transaction: there is no moment at which one of them could
be lost. Nothing that was done before the review runs again.
"""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import Connection

from fleet_contracts.envelope import TaskEnvelope, parse_envelope
from fleet_contracts.errors import AlreadyDecided, InvalidInput
from fleet_contracts.outcome import Outcome, OutcomeKind
from fleet_workers.agents import AgentRelease
from fleet_workers.review.afterwards import settle_afterwards
from fleet_workers.review.assignment import Reviewer, check_free, check_waits, known
from fleet_workers.review.binding import (
    DECISION_STEP,
    GO_ON,
    Ruling,
    approval_key,
    decision_step,
    proposal_digest,
    proposal_of,
    with_edited_arguments,
)
from fleet_workers.review.fitness import (
    AFTERWARDS,
    acts,
    check_fit,
    people_needed,
    what_rejection_means,
)
from fleet_workers.review.labelling import keep_label
from fleet_workers.review.packet_action import describe_edited
from fleet_workers.review.standing import proposal_line
from fleet_workers.review.trail import decision_entry
from fleet_workers.store import audit, outbox, parked, reviews, sessions
from fleet_workers.store.json_text import as_stored
from fleet_workers.store.outbox import Letter
from fleet_workers.store.reviews import ReviewItem

__all__ = [
    "DECISION_STEP",
    "Remember",
    "Ruling",
    "approval_key",
    "decide",
    "decision_step",
    "forget",
    "resume",
    "resume_decided",
]

log = structlog.get_logger()

Remember = Callable[[TaskEnvelope, str, bool], None]
"""Adds an answer to its session's memory: envelope, answer, and whether its words are tainted."""


def forget(_envelope: TaskEnvelope, _answer: str, _tainted: bool) -> None:
    """Keep nothing."""


def decide(
    connection: Connection,
    review_id: UUID,
    *,
    tenant: str | None,
    ruling: Ruling,
    decided_by: str,
    text: str = "",
    arguments: Mapping[str, Any] | None = None,
    agent: str | None = None,
    end: bool | None = None,
    groups: tuple[str, ...] | None = None,
    seen: str | None = None,
    made_by: AgentRelease | None = None,
    remember: Remember = forget,
) -> list[Letter]:
    """Decide an item; gives the letters to send after the commit.

    `text` is the reason of a rejection, the answer, the question, or a note for the agent that
    takes over. `arguments` are those of an edited action, checked by the caller against the tool
    (`editing.checked_arguments`). `agent` takes over. `end` tells whether a rejection ends the
    task; without it, the agent goes on where it has proposed something. `tenant=None` and
    `groups=None` see all. `seen` is the `binding.proposal_digest` of what the person has read;
    without it they stand for whatever the item proposes now. `made_by` is the agent's release,
    from whose tools an edited action is described to the next person. `remember` adds what the
    customer is told to the session, right before the commit.

    Where the agent's file wants several people, an approval of one of them is kept and the item
    goes on waiting for the next; an edit is its author's approval, and makes earlier ones void.

    Raises:
        UnknownReview: There is no such item in this tenant and these groups.
        AlreadyDecided: It is decided or closed, this person has approved it, or somebody has
            changed the proposal since it was read; the text says so.
        AlreadyClaimed: Somebody else works on it.
        InvalidInput: The ruling does not fit the item, or lacks its text.
    """
    by = Reviewer(name=decided_by, tenant=tenant, groups=groups)
    item = _locked(connection, review_id, by)
    _check_seen(item, seen)
    check_fit(item, ruling, text, arguments=arguments, agent=agent)
    then = what_rejection_means(item, end=end) if ruling is Ruling.REJECT else None
    if arguments is not None:
        item = _with_edit(item, arguments, made_by)
        line = proposal_line(item.packet)
        reviews.change_packet(connection, item.id, item.packet, proposal_line=line)
    approves = ruling is Ruling.APPROVE or arguments is not None
    approved_by = _approved_by(item, decided_by) if approves else []
    if approves and len(approved_by) < people_needed(item):
        reviews.note_approvals(connection, item.id, approved_by)
        return []
    said = {"ruling": str(ruling), "text": text, "approved_by": approved_by}
    said |= {"then": then} if then else {}
    said |= {"agent": agent} if agent else {}
    item = reviews.record_decision(connection, item.id, as_stored(said), decided_by=decided_by)
    return resume(connection, item, remember=remember)


def _locked(connection: Connection, review_id: UUID, by: Reviewer) -> ReviewItem:
    item = known(connection, review_id, by)
    if item.state == "waiting":
        # Whoever cancels or expires a task locks it before its items: so the order is the same.
        parked.lock_parked_task(connection, item.task_id)
        reviews.lock(connection, review_id, tenant=by.tenant)
        item = known(connection, review_id, by)
    check_waits(item)
    check_free(item, by)
    return item


def _with_edit(
    item: ReviewItem, arguments: Mapping[str, Any], made_by: AgentRelease | None
) -> ReviewItem:
    """The item with the person's arguments, described anew: the next person reads these."""
    packet = with_edited_arguments(item, arguments)
    read = packet.get("action")
    packet["action"] = describe_edited(
        packet["proposal"], item.kind, made_by, before=read if isinstance(read, Mapping) else {}
    )
    return item.model_copy(update={"packet": as_stored(packet), "decision": None})


def _check_seen(item: ReviewItem, seen: str | None) -> None:
    if seen is not None and seen != proposal_digest(item):
        by = ", ".join((item.decision or {}).get("approved_by", ())) or "Somebody"
        raise AlreadyDecided(f"{by} has changed the proposal since you read it: read it again.")


def resume_decided(
    connection: Connection, *, limit: int, remember: Remember = forget
) -> tuple[int, list[Letter]]:
    """Let tasks go on whose item holds a decision that had no consequence yet.

    Such rows come from outside: from another system's writes, or a restored backup. A decision
    that makes no sense is taken off, and the item waits for a person again.
    """
    found = reviews.decided(connection, limit=limit)
    letters: list[Letter] = []
    for review_id in found:
        try:
            with connection.begin_nested():
                item = reviews.get(connection, review_id, tenant=None)
                letters += resume(connection, item, remember=remember) if item else []
        except (InvalidInput, ValueError, LookupError, TypeError) as error:
            log.warning("review.decision_unusable", review=str(review_id), error=str(error))
            reviews.put_back(connection, review_id)
    return len(found), letters


def resume(
    connection: Connection, item: ReviewItem, *, remember: Remember = forget
) -> list[Letter]:
    """Give a decision its consequence: the task is queued again, or ends.

    Raises:
        InvalidInput: The ruling does not fit the item, or the task's row holds no envelope.
        ValueError: The decision holds no ruling that is known.
    """
    if item.kind in AFTERWARDS:
        return _settle_verdict(connection, item)
    reviews.mark_resumed(connection, item.id)
    content = parked.lock_parked_task(connection, item.task_id)
    if content is None:
        return []  # it was cancelled or has expired meanwhile
    envelope = parse_envelope(content)
    decision = item.decision or {}
    ruling, text = Ruling(str(decision.get("ruling"))), str(decision.get("text", ""))
    agent, then = decision.get("agent"), decision.get("then")
    edited = proposal_of(item).get("arguments") if ruling is Ruling.EDIT else None
    check_fit(item, ruling, text, arguments=edited, agent=agent)
    if ruling is Ruling.REJECT and then is None:
        then = what_rejection_means(item, end=None)
    audit.add(connection, decision_entry(item, ruling, text))
    keep_label(connection, item, ruling, text, arguments=edited, agent=agent, then=then)
    step = decision_step(item, ruling, text, then=then)
    parked.add_decision_step(connection, item.task_id, DECISION_STEP, step)
    if ruling is Ruling.APPROVE:
        agent = proposal_of(item).get("agent")
    approves = ruling in {Ruling.APPROVE, Ruling.EDIT}
    if agent or then == GO_ON or (approves and acts(item)):
        parked.queue_task(connection, item.task_id, agent=agent)
        return outbox.wake(connection, [item.task_id])
    outcome = _outcome(item, ruling, text)
    parked.end_task(connection, item.task_id, outcome)
    if outcome.answer is not None:
        # Before the next task of the session is woken, which shall read it. What the agent
        # drafted may repeat what it has read.
        remember(envelope, outcome.answer, ruling is Ruling.APPROVE)
    return _after_the_end(connection, envelope, outcome)


def _settle_verdict(connection: Connection, item: ReviewItem) -> list[Letter]:
    decision = item.decision or {}
    ruling, text = Ruling(str(decision.get("ruling"))), str(decision.get("text", ""))
    check_fit(item, ruling, text, arguments=None, agent=None)
    return settle_afterwards(connection, item, ruling, text)


def _outcome(item: ReviewItem, ruling: Ruling, text: str) -> Outcome:
    if ruling is Ruling.REJECT:
        return Outcome(kind=OutcomeKind.REJECTED, reason=text, review_kind=item.kind)
    kind = OutcomeKind.ASKED if ruling is Ruling.ASK else OutcomeKind.ANSWERED
    said = proposal_of(item)["answer"] if ruling is Ruling.APPROVE else text
    return Outcome(kind=kind, answer=said, review_kind=item.kind)


def _approved_by(item: ReviewItem, decided_by: str) -> list[str]:
    """All who have approved an item, the one who does so now included."""
    earlier = list((item.decision or {}).get("approved_by", ()))
    if decided_by in earlier:
        raise AlreadyDecided(
            f"{decided_by} has approved this already: it needs {people_needed(item)} different "
            "people, so another one must."
        )
    return [*earlier, decided_by]


def _after_the_end(
    connection: Connection, envelope: TaskEnvelope, outcome: Outcome
) -> list[Letter]:
    letters = sessions.wake_next(connection, envelope)
    if envelope.reply_to is not None:
        letters.append(outbox.post_reply(connection, envelope, outcome))
    return letters
