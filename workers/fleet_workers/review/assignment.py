"""Who works on an item: claims with an expiry, and giving it to a person or another group."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Connection

from fleet_contracts.errors import AlreadyClaimed, AlreadyDecided, InvalidInput, UnknownReview
from fleet_workers.review.queue import announce
from fleet_workers.store import audit, review_queue, reviews
from fleet_workers.store.audit import AuditKind, Entry, digest
from fleet_workers.store.json_text import as_stored
from fleet_workers.store.outbox import Letter
from fleet_workers.store.reviews import ReviewItem

CLAIM_LASTS = timedelta(minutes=15)
"""Long enough to look things up; whoever goes home holds nothing back for long."""
LONGEST_CLAIM = timedelta(hours=8)
_WAIT = "wait until it is decided or given back"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewer:
    """Who acts: the name that is kept, and what they may see; None sees all."""

    name: str
    tenant: str | None
    groups: tuple[str, ...] | None = None


def claim(
    connection: Connection, review_id: UUID, by: Reviewer, *, lasts: timedelta = CLAIM_LASTS
) -> ReviewItem:
    """Keep an item for somebody; the same person's claim is made longer.

    Raises:
        UnknownReview: There is no such item for this person.
        AlreadyDecided: It waits no more.
        AlreadyClaimed: Somebody else works on it.
        InvalidInput: The time is longer than `LONGEST_CLAIM`, or none.
    """
    if not timedelta(0) < lasts <= LONGEST_CLAIM:
        raise InvalidInput("A claim lasts from a minute to eight hours: say how many minutes.")
    found = review_queue.claim(
        connection, review_id, tenant=by.tenant, by=by.name, lasts=lasts, groups=by.groups
    )
    if found is not None:
        return found
    item = known(connection, review_id, by)
    check_waits(item)
    raise _claimed(item, _WAIT)


def release(connection: Connection, review_id: UUID, by: Reviewer) -> ReviewItem:
    """Give an item back.

    Raises:
        UnknownReview: There is no such item for this person.
        AlreadyDecided: It waits no more.
        AlreadyClaimed: Somebody else holds it.
    """
    item = known(connection, review_id, by)
    check_waits(item)
    check_free(item, by, "only they give it back")
    review_queue.release(connection, review_id, tenant=by.tenant, by=by.name)
    return known(connection, review_id, by)


def hand_over(
    connection: Connection,
    review_id: UUID,
    by: Reviewer,
    *,
    note: str,
    person: str | None = None,
    group: str | None = None,
) -> list[Letter]:
    """Give an item to another person or group, who read the note; gives the letters to send.

    Raises:
        UnknownReview: There is no such item for this person.
        AlreadyDecided: It waits no more.
        AlreadyClaimed: Somebody else works on it.
        InvalidInput: Neither or both are named, or the note is empty.
    """
    if (person is None) == (group is None):
        raise InvalidInput("Name the person or the group that takes over.")
    if not note.strip():
        raise InvalidInput("Say why they take over: they read the note.")
    item = reviews.lock(connection, review_id, tenant=by.tenant, groups=by.groups)
    if item is None:
        raise UnknownReview(f"No review {review_id} is known here.")
    check_waits(item)
    check_free(item, by, "only they give it away")
    told = {"by": by.name, "to": person or group, "note": note}
    packet = as_stored({**item.packet, "notes": [*item.packet.get("notes", []), told]})
    item = review_queue.hand_over(connection, item.id, group=group, assignee=person, packet=packet)
    audit.add(connection, _entry(item, by, to=person or group or "", note=note))
    return [announce(connection, item)]


def known(connection: Connection, review_id: UUID, by: Reviewer) -> ReviewItem:
    """One item that somebody may see.

    Raises:
        UnknownReview: It does not exist, or is another tenant's or group's.
    """
    item = reviews.get(connection, review_id, tenant=by.tenant, groups=by.groups)
    if item is None:
        raise UnknownReview(f"No review {review_id} is known here.")
    return item


def check_waits(item: ReviewItem) -> None:
    """Make sure that nobody was faster.

    Raises:
        AlreadyDecided: It is decided or closed; the text says by whom.
    """
    if item.state != "waiting":
        by = f" by {item.decided_by}" if item.decided_by else ""
        raise AlreadyDecided(f"The review is {item.state} already{by}: load it anew to see how.")


def check_free(item: ReviewItem, by: Reviewer, remedy: str = _WAIT) -> None:
    """Make sure that nobody else works on an item.

    Raises:
        AlreadyClaimed: Somebody does; the text says who, and the remedy.
    """
    if item.claimed_by not in {None, by.name}:
        raise _claimed(item, remedy)


def _claimed(item: ReviewItem, remedy: str) -> AlreadyClaimed:
    return AlreadyClaimed(f"{item.claimed_by} works on this review: {remedy}.")


def _entry(item: ReviewItem, by: Reviewer, *, to: str, note: str) -> Entry:
    return Entry(
        kind=AuditKind.REVIEW,
        who=by.name,
        what=f"{item.kind} handed over",
        tenant=item.tenant,
        task_id=item.task_id,
        detail={"review": str(item.id), "to": to, "note_sha256": digest(note)},
    )
