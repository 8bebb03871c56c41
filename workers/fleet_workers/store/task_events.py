"""Changes of tasks' states: of one task in its order, of all in the order of their places.

Triggers write a row with each change. Ids are given before a transaction commits, so that a reader
who goes by them over all tasks misses what commits late. A janitor therefore gives each row that it
can see a place: whoever goes by places misses nothing and reads nothing twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Row, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from fleet_contracts.events import TaskChange
from fleet_workers.store.event_tables import event_marks, task_events
from fleet_workers.store.tables import tasks

PLACES: Final = "places"
"""The mark of the last place that was given."""

_GIVE_PLACES = text("""
WITH found AS (
    SELECT task_id, id, row_number() OVER (ORDER BY id) AS number
    FROM (SELECT task_id, id FROM task_events WHERE place IS NULL ORDER BY id LIMIT :limit) AS first
)
UPDATE task_events SET place = :last + found.number
FROM found WHERE task_events.task_id = found.task_id AND task_events.id = found.id
""")

_NOTE = text("""
INSERT INTO deliveries (id, key, tenant, channel, event, body)
SELECT gen_random_uuid(), 'task:' || :channel || ':' || e.id, e.tenant, :channel,
    'task.' || e.state, jsonb_build_object('task', e.task_id, 'seq', e.id)
FROM task_events AS e
WHERE e.place > :after AND e.place <= :upto AND e.at > now() - :age
    AND e.state = ANY (CAST(:states AS text[]))
    AND (cardinality(CAST(:tenants AS text[])) = 0 OR e.tenant = ANY (CAST(:tenants AS text[])))
    AND (cardinality(CAST(:agents AS text[])) = 0 OR e.agent = ANY (CAST(:agents AS text[])))
ORDER BY e.place
ON CONFLICT (key) DO NOTHING
RETURNING id
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A change with its place among all, and the trace that its task belongs to."""

    place: int
    change: TaskChange
    traceparent: str | None


def changes_of(
    connection: Connection, task_id: UUID, *, after: int = 0, limit: int = 500
) -> list[TaskChange]:
    """Changes of one task behind the number `after`, in their order."""
    rows = connection.execute(
        select(task_events)
        .where(task_events.c.task_id == task_id, task_events.c.id > after)
        .order_by(task_events.c.id)
        .limit(limit)
    )
    return [_change(row) for row in rows]


def change(connection: Connection, task_id: UUID, seq: int) -> TaskChange | None:
    """One change; None where it is not kept any more."""
    row = connection.execute(
        select(task_events).where(task_events.c.task_id == task_id, task_events.c.id == seq)
    ).one_or_none()
    return None if row is None else _change(row)


def placed_after(
    connection: Connection, place: int, *, tenant: str | None, limit: int
) -> list[Placed]:
    """Changes behind a place, in the order of their places; `tenant=None` is all."""
    query = (
        select(task_events, tasks.c.traceparent)
        .join_from(task_events, tasks, tasks.c.id == task_events.c.task_id, isouter=True)
        .where(task_events.c.place > place)
        .order_by(task_events.c.place)
        .limit(limit)
    )
    if tenant is not None:
        query = query.where(task_events.c.tenant == tenant)
    return [
        Placed(place=row.place, change=_change(row), traceparent=row.traceparent)
        for row in connection.execute(query)
    ]


def give_places(connection: Connection, *, limit: int) -> int:
    """Give places to changes that have none; gives how many. 0 while another process is at it."""
    last = take_mark(connection, PLACES)
    if last is None:
        return 0
    given = connection.execute(_GIVE_PLACES, {"limit": limit, "last": last}).rowcount
    if given:
        move_mark(connection, PLACES, last + given)
    return given


def note_for_webhook(
    connection: Connection,
    *,
    channel: str,
    states: Sequence[str],
    tenants: Sequence[str],
    agents: Sequence[str],
    age: timedelta,
    limit: int,
) -> int:
    """Note deliveries of what was placed since the channel's mark; gives how many places it moved.

    A channel that is new begins with what comes from now on. What is older than `age` is not told.
    """
    mark = take_mark(connection, channel)
    if mark is None:
        return 0
    upto = min(mark + limit, last_place(connection))
    if upto <= mark:
        return 0
    parameters = {
        "channel": channel,
        "after": mark,
        "upto": upto,
        "age": age,
        "states": list(states),
        "tenants": list(tenants),
        "agents": list(agents),
    }
    connection.execute(_NOTE, parameters)
    move_mark(connection, channel, upto)
    return upto - mark


def last_place(connection: Connection) -> int:
    """The last place that was given; 0 before the first."""
    found = connection.execute(
        select(event_marks.c.place).where(event_marks.c.name == PLACES)
    ).scalar()
    return found or 0


def take_mark(connection: Connection, name: str) -> int | None:
    """Up to which place a reader has read, kept from others until this transaction ends.

    None where another process is at it. A reader that is new starts behind what has a place now.
    """
    mark = select(event_marks.c.place).where(event_marks.c.name == name)
    found: int | None = connection.execute(mark.with_for_update(skip_locked=True)).scalar()
    if found is not None:
        return found
    last = select(event_marks.c.place).where(event_marks.c.name == PLACES).scalar_subquery()
    begun: int | None = connection.execute(
        upsert(event_marks)
        .values(name=name, place=func.coalesce(last, 0))
        .on_conflict_do_nothing()
        .returning(event_marks.c.place)
    ).scalar()
    return begun


def read_mark(connection: Connection, name: str) -> int | None:
    """Up to which place a reader has read; None where it has never read."""
    return connection.execute(
        select(event_marks.c.place).where(event_marks.c.name == name)
    ).scalar()


def move_mark(connection: Connection, name: str, place: int) -> None:
    """Note up to which place a reader has read."""
    connection.execute(update(event_marks).where(event_marks.c.name == name).values(place=place))


def borrow_mark(connection: Connection, name: str, *, loan: timedelta) -> int | None:
    """Take a mark for a time in which nobody else gets it; None where somebody has it.

    A loan that ends further ahead than it lasts was made before the clock was put back.
    """
    lent_until = event_marks.c.lent_until
    if read_mark(connection, name) is None:
        take_mark(connection, name)
    place: int | None = connection.execute(
        update(event_marks)
        .where(
            event_marks.c.name == name,
            or_(lent_until < func.now(), lent_until > func.now() + loan),
        )
        .values(lent_until=func.now() + loan)
        .returning(event_marks.c.place)
    ).scalar()
    return place


def return_mark(connection: Connection, name: str, *, taken: int, moved_to: int) -> None:
    """Give a mark back; one that somebody else has moved since stays where it is."""
    connection.execute(
        update(event_marks)
        .where(event_marks.c.name == name, event_marks.c.place == taken)
        .values(place=moved_to, lent_until=func.now())
    )


def has_unplaced(connection: Connection) -> bool:
    """Tell whether a change waits for its place."""
    found = select(task_events.c.id).where(task_events.c.place.is_(None)).limit(1)
    return connection.execute(found).scalar() is not None


def is_behind(connection: Connection, name: str) -> bool:
    """Tell whether a reader has something to read, or has never read."""
    mark = read_mark(connection, name)
    return mark is None or mark < last_place(connection)


def _change(row: Row[Any]) -> TaskChange:
    return TaskChange(
        task_id=row.task_id,
        seq=row.id,
        tenant=row.tenant,
        agent=row.agent,
        state=row.state,
        at=row.at,
        attempts=row.attempts,
        kind=row.kind,
        code=row.code,
    )
