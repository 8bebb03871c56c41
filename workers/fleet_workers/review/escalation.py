"""What happens to items whose time is over, by the rules of the agent that opened them."""

from datetime import UTC, datetime
from uuid import UUID

import structlog
from sqlalchemy import Connection

from fleet_contracts.errors import InvalidInput, UnknownAgent
from fleet_workers.agents import AgentCatalogue
from fleet_workers.agents.review_rules import Escalation, Placement, place
from fleet_workers.review.binding import Ruling
from fleet_workers.review.decisions import decide
from fleet_workers.review.queue import announce
from fleet_workers.store import audit, parked, review_queue
from fleet_workers.store.accounts import FLEET
from fleet_workers.store.audit import AuditKind, Entry
from fleet_workers.store.outbox import Letter
from fleet_workers.store.reviews import ReviewItem

log = structlog.get_logger()

NOBODY = "Nobody allowed it in time."
"""What an agent is told of an action that the fleet refuses."""


def escalate(
    connection: Connection, catalogue: AgentCatalogue, review_id: UUID, task_id: UUID
) -> list[Letter]:
    """Do the step of one item that is due; gives the letters to send after the commit.

    One item a transaction, its task locked first as by everybody who ends tasks. Where another
    janitor was faster, or a person, nothing is done.
    """
    parked.lock_parked_task(connection, task_id)
    item = review_queue.lock_to_escalate(connection, review_id)
    return [] if item is None else _escalate(connection, item, rules_of(catalogue, item))


def rules_of(catalogue: AgentCatalogue, item: ReviewItem) -> Placement:
    """Where an item stands by its agent's file; by the fleet's rules where it has gone."""
    try:
        return place(catalogue.get(item.agent).manifest.reviews, item.kind)
    except UnknownAgent:
        return place({}, item.kind)


def _escalate(connection: Connection, item: ReviewItem, rules: Placement) -> list[Letter]:
    if item.escalation >= len(rules.escalate):  # the agent's file has fewer steps than it had
        review_queue.stop_escalation(connection, item.id)
        return []
    step = rules.escalate[item.escalation]
    item = review_queue.note_escalation(
        connection,
        item.id,
        what=step.do,
        group=step.group,
        escalate_at=_next_at(item, rules),
    )
    audit.add(connection, _entry(item, step))
    log.info("review.escalated", review=str(item.id), what=step.do, tenant=item.tenant)
    if step.do == "refuse":
        return _refuse(connection, item)
    return [announce(connection, item)]


def _refuse(connection: Connection, item: ReviewItem) -> list[Letter]:
    """Reject for the fleet. Whoever has claimed the item has had his time as well."""
    try:
        with connection.begin_nested():
            review_queue.end_claim(connection, item.id)
            return decide(
                connection,
                item.id,
                tenant=None,
                ruling=Ruling.REJECT,
                decided_by=FLEET,
                text=NOBODY,
            )
    except (InvalidInput, ValueError, LookupError) as error:
        log.warning("review.not_refused", review=str(item.id), error=str(error))
        return []


def _next_at(item: ReviewItem, rules: Placement) -> datetime | None:
    """When the step after this one is due.

    The full time between two steps is kept even where the fleet stood still: a refusal does not
    come right after the reminder.
    """
    this = rules.escalates_after(item.escalation)
    following = rules.escalates_after(item.escalation + 1)
    if this is None or following is None:
        return None
    return max(item.created_at + following, datetime.now(UTC) + (following - this))


def _entry(item: ReviewItem, step: Escalation) -> Entry:
    return Entry(
        kind=AuditKind.REVIEW,
        who=FLEET,
        what=f"{item.kind} overdue: {step.do}",
        tenant=item.tenant,
        task_id=item.task_id,
        detail={"review": str(item.id), **({"group": step.group} if step.group else {})},
    )
