"""Which messages of the intake are tasks already, while they may come once more.

A message with an id or a key is known by it. Any other is known, should it be delivered again, by
its content: its row is written with its task and deleted once the broker has the acknowledgement.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, delete, func, insert, select, update

from fleet_workers.store.event_tables import intake_taken

SETTLED: Final = timedelta(seconds=10)
"""So old a row is of a session that has ended: of one at work it is deleted within moments."""
KEPT: Final = timedelta(hours=1)
"""A message that comes again later than that becomes a task again."""


def note_taken(connection: Connection, contents: Sequence[bytes], session: UUID) -> list[int]:
    """Note that messages with these contents became tasks; gives the numbers of their rows."""
    if not contents:
        return []
    found = connection.execute(
        insert(intake_taken).returning(intake_taken.c.id),
        [{"content": each, "session": session} for each in contents],
    )
    return list(found.scalars())


def take_over(connection: Connection, content: bytes, session: UUID) -> int | None:
    """Find the row that an earlier session left for a message; it is this session's from now on."""
    left = (
        select(intake_taken.c.id)
        .where(
            intake_taken.c.content == content,
            intake_taken.c.session != session,
            intake_taken.c.taken_at <= func.now() - SETTLED,
            intake_taken.c.taken_at > func.now() - KEPT,
        )
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    found: int | None = connection.execute(
        update(intake_taken)
        .where(intake_taken.c.id == left.scalar_subquery())
        .values(session=session)
        .returning(intake_taken.c.id)
    ).scalar()
    return found


def is_unsettled(connection: Connection, content: bytes, session: UUID) -> bool:
    """Tell whether another session took in such a message so lately that it may be at work."""
    found = connection.execute(
        select(intake_taken.c.id)
        .where(
            intake_taken.c.content == content,
            intake_taken.c.session != session,
            intake_taken.c.taken_at > func.now() - SETTLED,
        )
        .limit(1)
    ).scalar()
    return found is not None


def forget(connection: Connection, rows: Sequence[int]) -> None:
    """Delete rows of messages that cannot come again, and those that were left long ago."""
    if rows:
        connection.execute(delete(intake_taken).where(intake_taken.c.id.in_(rows)))
    connection.execute(delete(intake_taken).where(intake_taken.c.taken_at < func.now() - KEPT))
