"""Takes feedback about a finished task; a complaint is put before a person."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection

from fleet_contracts.errors import InvalidInput, UnknownTask
from fleet_contracts.feedback import MAX_COMMENT, Rating
from fleet_contracts.outcome import ReviewKind
from fleet_workers.review.afterwards import open_afterwards, packet_afterwards
from fleet_workers.store import feedback, reviews, views
from fleet_workers.store.feedback import FeedbackRow, FeedbackSource
from fleet_workers.store.finished import FinishedTask, find_finished
from fleet_workers.store.json_text import as_stored
from fleet_workers.store.outbox import Letter


class NotFinished(InvalidInput):
    """The task has not ended, so that there is nothing to judge yet."""

    code = "not_finished"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinion:
    """What somebody says about a task: a rating, a comment, or that a person must look."""

    rating: Rating | None = None
    comment: str = ""
    flag: bool = False

    @property
    def complains(self) -> bool:
        """Whether a person must look: it is flagged, or bad for a reason that is given."""
        return self.flag or (self.rating == "bad" and bool(self.comment.strip()))


def give_feedback(
    connection: Connection,
    task_id: UUID,
    opinion: Opinion,
    *,
    tenant: str | None,
    source: FeedbackSource,
) -> tuple[FeedbackRow, list[Letter]]:
    """Keep what somebody says about a finished task; gives the row, and the letters to send.

    It replaces what came the same way before. A complaint opens a review of kind `flagged`, at most
    one at a time for a task: a further one is added to the packet of that which waits. The same
    said again opens nothing. `tenant=None` sees all tenants.

    Raises:
        UnknownTask: There is no such task in this tenant.
        NotFinished: It has not ended yet.
        InvalidInput: Nothing is said, or the comment is too long.
    """
    comment = as_stored(opinion.comment).strip()
    _check(opinion, comment)
    task = find_finished(connection, task_id, tenant=tenant, lock=True)
    if task is None:
        raise _missing(connection, task_id, tenant=tenant)
    before = feedback.of_task(connection, task_id, source)
    row = feedback.put(
        connection,
        task,
        rating=opinion.rating,
        comment=comment,
        flagged=opinion.flag,
        source=source,
    )
    if not opinion.complains or _is_repeat(before, row):
        return row, []
    review_id, letters = _put_before_a_person(connection, task, row)
    feedback.note_review(connection, row.id, review_id)
    found = feedback.of_task(connection, task_id, source)
    return found or row, letters


def _check(opinion: Opinion, comment: str) -> None:
    if opinion.rating is None and not comment and not opinion.flag:
        raise InvalidInput("Say something: send a rating, a comment or a flag.")
    if len(comment) > MAX_COMMENT:
        raise InvalidInput(
            f"The comment has {len(comment):,} characters: send at most {MAX_COMMENT:,}."
        )


def _missing(connection: Connection, task_id: UUID, *, tenant: str | None) -> InvalidInput:
    view = views.view(connection, task_id, tenant=tenant)
    if view is None:
        return UnknownTask(f"No task {task_id} is known to this key.")
    return NotFinished(
        f"The task is {view.state.replace('_', ' ')}: it can be judged once it has ended."
    )


def _is_repeat(before: FeedbackRow | None, now: FeedbackRow) -> bool:
    if before is None or before.review_id is None:
        return False
    return (before.rating, before.comment, before.flagged) == (now.rating, now.comment, now.flagged)


def _put_before_a_person(
    connection: Connection, task: FinishedTask, row: FeedbackRow
) -> tuple[UUID, list[Letter]]:
    said = {"rating": row.rating, "comment": row.comment, "from": row.source}
    waiting = feedback.waiting_review(connection, task.id)
    if waiting is not None:
        item = reviews.lock(connection, waiting, tenant=task.tenant)
        if item is not None and item.state == "waiting":
            packet = {**item.packet, "feedback": [*item.packet.get("feedback", ()), said][-5:]}
            reviews.change_packet(connection, item.id, packet)
            return item.id, []
    reason = "Somebody complained about this answer" + (
        f": {row.comment[:200]}" if row.comment else "."
    )
    packet = {**packet_afterwards(connection, task, reason), "feedback": [said]}
    item, letter = open_afterwards(connection, task, ReviewKind.FLAGGED, reason, packet)
    return item.id, [letter]
