"""Up to where a chore has come that goes through rows in the order of their time."""

from sqlalchemy import Connection, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from fleet_workers.store.desk_tables import chore_marks
from fleet_workers.store.finished import FIRST_ID, Mark


def take_mark(connection: Connection, name: str) -> Mark | None:
    """Up to where a chore has come, kept from others until this transaction ends.

    None where another process is at it. A chore that begins starts now: nobody wants to judge what
    happened long ago.
    """
    row = connection.execute(
        select(chore_marks.c.at, chore_marks.c.id)
        .where(chore_marks.c.name == name)
        .with_for_update(skip_locked=True)
    ).one_or_none()
    if row is None:
        row = connection.execute(
            upsert(chore_marks)
            .values(name=name, at=func.now(), id=FIRST_ID)
            .on_conflict_do_nothing()
            .returning(chore_marks.c.at, chore_marks.c.id)
        ).one_or_none()
    return None if row is None else Mark(at=row.at, id=row.id or FIRST_ID)


def move_mark(connection: Connection, name: str, mark: Mark) -> None:
    """Note up to where a chore has come."""
    connection.execute(
        update(chore_marks).where(chore_marks.c.name == name).values(at=mark.at, id=mark.id)
    )
