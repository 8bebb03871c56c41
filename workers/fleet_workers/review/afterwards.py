"""Reviews about tasks that have ended: opened by a draw or by feedback, they change no task."""

from collections.abc import Mapping
from typing import Any, Literal

from sqlalchemy import Connection

from fleet_contracts.envelope import parse_envelope
from fleet_contracts.outcome import ReviewKind
from fleet_workers.review.binding import Ruling
from fleet_workers.review.handoff import build_packet
from fleet_workers.review.labelling import keep_label
from fleet_workers.review.queue import open_item
from fleet_workers.review.trail import decision_entry
from fleet_workers.store import audit, reviews
from fleet_workers.store.finished import FinishedTask
from fleet_workers.store.journal import read_steps
from fleet_workers.store.outbox import Letter
from fleet_workers.store.reviews import ReviewItem

AfterwardsKind = Literal[ReviewKind.SAMPLED, ReviewKind.FLAGGED]


def open_afterwards(
    connection: Connection,
    task: FinishedTask,
    kind: AfterwardsKind,
    reason: str,
    packet: Mapping[str, Any],
) -> tuple[ReviewItem, Letter]:
    """Put a task that has ended before a person, in the caller's transaction.

    Gives the item, and the letter to send after the commit.

    Raises:
        InvalidEnvelope: The task's row holds no envelope that can be read.
    """
    return open_item(
        connection,
        parse_envelope(dict(task.envelope)),
        agent=task.agent,
        kind=kind,
        reason=reason,
        packet=packet,
    )


def packet_afterwards(connection: Connection, task: FinishedTask, reason: str) -> dict[str, Any]:
    """The handover packet of a task that has ended: what was done, and the answer that was given.

    Raises:
        InvalidEnvelope: The task's row holds no envelope that can be read.
        CorruptJournal: Its journal cannot be read.
    """
    answer = task.outcome.get("answer")
    sure = task.outcome.get("confidence")
    return build_packet(
        parse_envelope(dict(task.envelope)),
        read_steps(connection, task.id),
        agent=task.agent,
        release=task.release,
        reason=reason,
        proposal={"answer": answer} if isinstance(answer, str) else {},
        confidence=sure if isinstance(sure, float | int) else None,
    )


def settle_afterwards(
    connection: Connection, item: ReviewItem, ruling: Ruling, text: str
) -> list[Letter]:
    """Give the verdict about a finished task its consequence: it is kept, and nothing else.

    The item is decided already. The task stays as it is; there is nothing to send.
    """
    reviews.mark_resumed(connection, item.id)
    keep_label(connection, item, ruling, text)
    audit.add(connection, decision_entry(item, ruling, text))
    return []
