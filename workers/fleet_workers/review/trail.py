"""What the audit trail says of a decision."""

from typing import Any

from fleet_workers.review.binding import Ruling, proposal_of
from fleet_workers.store.audit import AuditKind, Entry, digest
from fleet_workers.store.reviews import ReviewItem


def decision_entry(item: ReviewItem, ruling: Ruling, text: str) -> Entry:
    """The entry of a decided item.

    A person's own words may speak of the customer: the review keeps them, the entry does not.
    """
    proposal = proposal_of(item)
    bound = ("tool", "plan", "call")
    detail: dict[str, Any] = {name: proposal[name] for name in bound if name in proposal}
    if "arguments" in proposal:
        detail["arguments_sha256"] = digest(proposal["arguments"])
    if "planned_arguments" in proposal:
        detail["planned_sha256"] = digest(proposal["planned_arguments"])
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
