"""What a person decides about a task in review, and how the task goes on from there.

A decision and its consequence are one transaction: there is no moment at which one of them could
be lost. Nothing that was done before the review runs again.
"""

import json
from collections.abc import Mapping
from enum import StrEnum
from hashlib import sha256
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import Connection

from fleet_contracts.envelope import TaskEnvelope, parse_envelope
from fleet_contracts.errors import AlreadyDecided, InvalidInput, UnknownReview
from fleet_contracts.outcome import Outcome, OutcomeKind, ReviewKind
from fleet_workers.store import audit, outbox, reviews, sessions
from fleet_workers.store.audit import AuditKind, Entry, digest
from fleet_workers.store.json_text import as_stored
from fleet_workers.store.outbox import Letter
from fleet_workers.store.reviews import ReviewItem

log = structlog.get_logger()

DECISION_STEP = "decision"
"""Name of the journal's step that holds a decision, of kind `review`."""

_ACTIONS = frozenset(
    {
        ReviewKind.APPROVAL,
        ReviewKind.IN_DOUBT,
        ReviewKind.OVER_BUDGET,
        ReviewKind.TOOL_AWAY,
    }
)
_ANSWERS = frozenset({ReviewKind.LOW_CONFIDENCE, ReviewKind.UNGROUNDED})


class Ruling(StrEnum):
    """What a person can say.

    `approve`: do the proposed action, this one and no other, send the proposed answer, or give
    the task to the proposed agent.
    `reject`: do not; an agent that proposed an action is told why and goes on, a task whose
    answer is refused ends. `answer`: the person's own answer ends the task.
    """

    APPROVE = "approve"
    REJECT = "reject"
    ANSWER = "answer"


def decide(
    connection: Connection,
    review_id: UUID,
    *,
    tenant: str | None,
    ruling: Ruling,
    decided_by: str,
    text: str = "",
) -> list[Letter]:
    """Decide an item; gives the letters to send after the commit.

    `text` is the reason of a rejection, or the answer. `tenant=None` sees all tenants. Where the
    agent's file wants several people, an approval of one of them is kept and the item goes on
    waiting for the next.

    Raises:
        UnknownReview: There is no such item in this tenant.
        AlreadyDecided: It is decided or closed, or this person has approved it; the text says so.
        InvalidInput: The ruling does not fit the item, or lacks its text.
    """
    item = reviews.get(connection, review_id, tenant=tenant)
    if item is not None and item.state == "waiting":
        # Whoever cancels or expires a task locks it before its items: so the order is the same.
        reviews.lock_parked_task(connection, item.task_id)
        item = reviews.lock(connection, review_id, tenant=tenant)
    if item is None:
        raise UnknownReview(f"No review {review_id} is known here.")
    if item.state != "waiting":
        by = f" by {item.decided_by}" if item.decided_by else ""
        raise AlreadyDecided(f"The review is {item.state} already{by}: load it anew to see how.")
    _check(item, ruling, text)
    approved_by = _approved_by(item, decided_by) if ruling is Ruling.APPROVE else []
    if ruling is Ruling.APPROVE and len(approved_by) < _people_needed(item):
        reviews.note_approvals(connection, item.id, approved_by)
        return []
    decision = as_stored({"ruling": str(ruling), "text": text, "approved_by": approved_by})
    item = reviews.record_decision(connection, item.id, decision, decided_by=decided_by)
    return resume(connection, item)


def resume_decided(connection: Connection, *, limit: int) -> tuple[int, list[Letter]]:
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
                letters += resume(connection, item) if item else []
        except (InvalidInput, ValueError, LookupError, TypeError) as error:
            log.warning("review.decision_unusable", review=str(review_id), error=str(error))
            reviews.put_back(connection, review_id)
    return len(found), letters


def resume(connection: Connection, item: ReviewItem) -> list[Letter]:
    """Give a decision its consequence: the task is queued again, or ends.

    Raises:
        InvalidInput: The ruling does not fit the item, or the task's row holds no envelope.
        ValueError: The decision holds no ruling that is known.
    """
    reviews.mark_resumed(connection, item.id)
    content = reviews.lock_parked_task(connection, item.task_id)
    if content is None:
        return []  # it was cancelled or has expired meanwhile
    envelope = parse_envelope(content)
    decision = item.decision or {}
    ruling, text = Ruling(str(decision.get("ruling"))), str(decision.get("text", ""))
    _check(item, ruling, text)
    audit.add(connection, _entry(item, ruling, text))
    reviews.add_decision_step(
        connection, item.task_id, DECISION_STEP, decision_step(item, ruling, text)
    )
    proposal = _proposal(item)
    chosen = proposal.get("agent") if ruling is Ruling.APPROVE else None
    acts = item.kind in _ACTIONS and "tool" in proposal
    if chosen or (acts and ruling is not Ruling.ANSWER):
        reviews.queue_task(connection, item.task_id, agent=chosen)
        return outbox.wake(connection, [item.task_id])
    if ruling is Ruling.REJECT:
        outcome = Outcome(kind=OutcomeKind.REJECTED, reason=text, review_kind=item.kind)
    else:
        said = text if ruling is Ruling.ANSWER else proposal["answer"]
        outcome = Outcome(kind=OutcomeKind.ANSWERED, answer=said, review_kind=item.kind)
    reviews.end_task(connection, item.task_id, outcome)
    return _after_the_end(connection, envelope, outcome)


def approval_key(tool: str, plan: int, call: int, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What an approval is bound to: this call of this plan, with exactly these arguments."""
    text = json.dumps(_with_plain_numbers(arguments), sort_keys=True)
    digest = sha256(text.encode()).hexdigest()
    return {"tool": tool, "plan": plan, "call": call, "arguments_sha256": digest}


def _with_plain_numbers(value: Any) -> Any:
    """The store gives 1e22 back as an integer, and -0.0 without its sign."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {key: _with_plain_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_plain_numbers(item) for item in value]
    return value


def _people_needed(item: ReviewItem) -> int:
    people = _proposal(item).get("people", 1)
    return people if isinstance(people, int) else 1


def _approved_by(item: ReviewItem, decided_by: str) -> list[str]:
    """All who have approved an item, the one who does so now included."""
    earlier = list((item.decision or {}).get("approved_by", ()))
    if decided_by in earlier:
        raise AlreadyDecided(
            f"{decided_by} has approved this already: it needs {_people_needed(item)} different "
            "people, so another one must."
        )
    return [*earlier, decided_by]


def _check(item: ReviewItem, ruling: Ruling, text: str) -> None:
    if ruling is Ruling.APPROVE and not _has_proposal(item):
        raise InvalidInput(
            f"A review of kind {item.kind} holds no proposal to approve: answer it, or reject it."
        )
    if ruling is not Ruling.APPROVE and not text.strip():
        raise InvalidInput("Say why it is rejected, or what the answer is: send text.")


def _has_proposal(item: ReviewItem) -> bool:
    proposal = _proposal(item)
    if item.kind in _ACTIONS:
        return "tool" in proposal
    return item.kind in _ANSWERS and bool(proposal.get("answer") or proposal.get("agent"))


def decision_step(item: ReviewItem, ruling: Ruling, text: str) -> dict[str, Any]:
    """The content of a `DECISION_STEP`: what was said, and what exactly it is about."""
    proposal = _proposal(item)
    bound = {}
    if "tool" in proposal and "plan" in proposal:
        bound = approval_key(
            proposal["tool"], proposal["plan"], proposal["call"], proposal["arguments"]
        )
        bound |= {"policy": proposal["policy"]} if "policy" in proposal else {}
    return {
        "review": str(item.id),
        "kind": item.kind,
        "ruling": ruling,
        "text": text,
        "by": ", ".join((item.decision or {}).get("approved_by", ())) or item.decided_by,
        "at": item.decided_at.isoformat() if item.decided_at else None,
        **bound,
    }


def _entry(item: ReviewItem, ruling: Ruling, text: str) -> Entry:
    """A person's own words may speak of the customer: the review keeps them, the entry does not."""
    proposal = _proposal(item)
    bound = ("tool", "plan", "call")
    detail: dict[str, Any] = {name: proposal[name] for name in bound if name in proposal}
    if "arguments" in proposal:
        detail["arguments_sha256"] = digest(proposal["arguments"])
    if text:
        detail["text_sha256"] = digest(text)
    return Entry(
        kind=AuditKind.DECISION,
        who=item.decided_by or "somebody outside the fleet",
        what=f"{item.kind} {ruling}",
        tenant=item.tenant,
        task_id=item.task_id,
        detail={"review": str(item.id), **detail},
    )


def _proposal(item: ReviewItem) -> dict[str, Any]:
    proposal = item.packet.get("proposal")
    return proposal if isinstance(proposal, dict) else {}


def _after_the_end(
    connection: Connection, envelope: TaskEnvelope, outcome: Outcome
) -> list[Letter]:
    letters = sessions.wake_next(connection, envelope)
    if envelope.reply_to is not None:
        letters.append(outbox.post_reply(connection, envelope, outcome))
    return letters
