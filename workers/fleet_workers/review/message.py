"""Puts a review into the form in which other systems are told of it."""

from fleet_contracts.reviews import (
    ReviewDecision,
    ReviewLinks,
    ReviewMessage,
    ReviewPriority,
)
from fleet_workers.store.reviews import ReviewItem

_CLOSED = "closed"
_STATES = {"resumed": "decided"}  # whether the task has gone on already is nobody's business


def review_message(
    item: ReviewItem, *, with_packet: bool = True, base_url: str | None = None
) -> ReviewMessage:
    """The message about an item as it stands now."""
    customer = item.packet.get("customer")
    return ReviewMessage(
        id=item.id,
        task_id=item.task_id,
        tenant=item.tenant,
        agent=item.agent,
        customer=customer if isinstance(customer, str) else None,
        kind=item.kind,
        state=_STATES.get(item.state, item.state),
        priority=min(max(item.priority, ReviewPriority.URGENT), ReviewPriority.LOW),
        created_at=item.created_at,
        due_at=item.due_at,
        group=item.group,
        skills=item.skills,
        assignee=item.assignee,
        reason=item.reason,
        packet=item.packet if with_packet else None,
        decision=_decision(item),
        links=_links(item),
        base_url=base_url.rstrip("/") if base_url else None,
    )


def _links(item: ReviewItem) -> ReviewLinks:
    review, task = f"/v1/reviews/{item.id}", f"/v1/tasks/{item.task_id}"
    return ReviewLinks(
        review=review,
        decide=review,
        task=task,
        journal=f"{task}/journal",
        console=f"/console/reviews/{item.id}",
    )


def _decision(item: ReviewItem) -> ReviewDecision | None:
    """None while it waits, whoever may have approved it so far."""
    if item.state == "waiting":
        return None
    decided = item.decision or {}
    proposal = item.packet.get("proposal")
    edited = isinstance(proposal, dict) and "planned_arguments" in proposal
    return ReviewDecision(
        ruling=_CLOSED if item.state == _CLOSED else str(decided.get("ruling", "")),
        text=str(decided.get("text") or decided.get(_CLOSED) or ""),
        by=item.decided_by,
        at=item.decided_at,
        arguments=proposal.get("arguments") if edited and isinstance(proposal, dict) else None,
    )
