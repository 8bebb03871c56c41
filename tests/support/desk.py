"""Tasks that wait for people, as the controller parks them, for tests of the review desk."""

from typing import Any

from fleet_contracts.envelope import parse_envelope
from fleet_contracts.outcome import Outcome, OutcomeKind, ReviewKind
from fleet_workers.agents.policy import policy_version
from fleet_workers.review.handoff import build_packet
from fleet_workers.review.queue import open_review
from fleet_workers.store import endings, reviews, views
from fleet_workers.store.journal import StepKind, StoredJournal, Usage, read_steps
from fleet_workers.store.reviews import ReviewItem
from support.web_server import Site

REFUND = {"payment_id": "pay_3041", "amount_usd": 149, "reason": "charged twice"}


def open_item(
    site: Site,
    kind: ReviewKind = ReviewKind.APPROVAL,
    *,
    arguments: dict[str, Any] | None = None,
    answer: str | None = None,
    people: int = 1,
    agent: str = "billing",
    tenant: str = "acme",
    reason: str = "refund_payment with amount_usd 149 needs approval over 100.",
    text: str = "I was charged 149 dollars twice in March. Please give one back.",
    **fields: object,
) -> ReviewItem:
    """An item of any kind: with an `answer` it holds a draft, else it is about a refund."""
    given = {"input": text, "customer": "cus_acme_01", **fields}
    held = site.claimed(agent=agent, tenant=tenant, **given)
    release = site.resources.catalogue.get(agent)
    journal = StoredJournal(site.engine, held)
    journal.record(StepKind.INBOUND, "inbound", {"signals": []})
    plan = journal.begin(StepKind.PLAN, agent, {"tier": "small", "messages": 2})
    call = {"id": "c1", "name": "refund_payment", "arguments": "{}"}
    reply = {"text": "", "calls": [call], "finish_reason": "tool_calls", "model": "gpt-small"}
    journal.finish(plan, reply, Usage(model="gpt-small", tokens=321))
    journal.record(StepKind.REVIEW, kind, {"reason": reason, "state": "waiting"})
    proposal: dict[str, Any] = {"plan": plan, "answer": answer}
    if answer is None:
        proposal = {
            "tool": "refund_payment",
            "arguments": arguments or REFUND,
            "plan": plan,
            "call": 0,
            "policy": policy_version(release),
            "people": people,
        }
    outcome = Outcome(kind=OutcomeKind.REVIEW, reason=reason, review_kind=kind)
    gates = [{"gate": "approval", "ruling": "review", "reason": reason}]
    journal.leave(endings.parked(outcome, release.id))
    with site.engine.begin() as connection:
        envelope = parse_envelope(views.envelope_of(connection, held.task_id))
        packet = build_packet(
            envelope,
            read_steps(connection, held.task_id),
            agent=agent,
            release=release.id,
            reason=reason,
            proposal=proposal,
            confidence=0.55 if answer else None,
            kind=kind,
            gates=[] if answer else gates,
            made_by=release,
        )
        open_review(
            connection,
            envelope,
            agent=agent,
            kind=kind,
            reason=reason,
            packet=packet,
            rules=release.manifest.reviews,
        )
        return reviews.of_task(connection, held.task_id)[-1]


def read_item(site: Site, item: ReviewItem) -> ReviewItem:
    """The same item as it stands now."""
    with site.engine.begin() as connection:
        found = reviews.get(connection, item.id, tenant=None)
    assert found is not None
    return found
