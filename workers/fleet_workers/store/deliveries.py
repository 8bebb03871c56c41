"""What goes to other systems over HTTP or by mail: each told once, and tried until it is taken."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import Connection, Update, case, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from fleet_workers.store.desk_tables import deliveries
from fleet_workers.store.json_text import as_stored

MAX_AGE: Final = timedelta(hours=24)
"""A delivery that nobody has taken for so long is given up."""
_COUNTED: Final = timedelta(days=30)
_ERROR_CHARACTERS: Final = 500
_OPEN: Final = deliveries.c.delivered_at.is_(None) & deliveries.c.gave_up_at.is_(None)

ReviewEventName = Literal["review.opened", "review.decided"]
_WHEN: Final[Mapping[ReviewEventName, str]] = {
    "review.opened": "created_at",
    "review.decided": "decided_at",
}
# A row that is there already is passed over before anything is written: the chore comes back to
# the same reviews for some time.
_NOTE: Final = {
    event: text(f"""
INSERT INTO deliveries (id, key, tenant, channel, event, body)
SELECT gen_random_uuid(), '{event}:' || :channel || ':' || r.id, r.tenant, :channel, '{event}',
    jsonb_build_object('review', r.id, 'at', r.{column})
FROM reviews AS r
WHERE r.{column} > :since
    AND (cardinality(CAST(:tenants AS text[])) = 0 OR r.tenant = ANY (CAST(:tenants AS text[])))
    AND (cardinality(CAST(:agents AS text[])) = 0 OR r.agent = ANY (CAST(:agents AS text[])))
    AND NOT EXISTS (
        SELECT 1 FROM deliveries AS d WHERE d.key = '{event}:' || :channel || ':' || r.id)
ORDER BY r.{column}, r.id
LIMIT :limit
ON CONFLICT (key) DO NOTHING
RETURNING id
""")  # noqa: S608 every part is a constant of this file
    for event, column in _WHEN.items()
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One thing to be told over one channel. `tries` counts this one."""

    id: UUID
    key: str
    tenant: str | None
    channel: str
    event: str
    body: Mapping[str, Any]
    created_at: datetime
    tries: int


def note_reviews(
    connection: Connection,
    event: ReviewEventName,
    *,
    channel: str,
    since: datetime,
    tenants: Sequence[str] = (),
    agents: Sequence[str] = (),
    limit: int,
) -> int:
    """Note what happened to reviews after `since` for a channel, once; gives how many were new.

    Empty `tenants` or `agents` are all.
    """
    parameters = {
        "channel": channel,
        "since": since,
        "tenants": list(tenants),
        "agents": list(agents),
        "limit": limit,
    }
    return len(connection.execute(_NOTE[event], parameters).all())


def store_time(connection: Connection) -> datetime:
    """When this transaction began, by the store's clock: the only one that counts."""
    return connection.execute(select(func.now())).scalar_one()


def add(
    connection: Connection, *, delivery_id: UUID, key: str, channel: str, event: str, body: Any
) -> bool:
    """Note one delivery in the caller's transaction; tells whether its key is new."""
    added = connection.execute(
        upsert(deliveries)
        .values(id=delivery_id, key=key, channel=channel, event=event, body=as_stored(dict(body)))
        .on_conflict_do_nothing(index_elements=[deliveries.c.key])
        .returning(deliveries.c.id)
    ).scalar()
    return added is not None


def get_body(connection: Connection, delivery_id: UUID) -> dict[str, Any] | None:
    """What a delivery tells; None where it is not known any more."""
    found: dict[str, Any] | None = connection.execute(
        select(deliveries.c.body).where(deliveries.c.id == delivery_id)
    ).scalar()
    return found


def take_due(connection: Connection, *, channel: str, loan: timedelta) -> Delivery | None:
    """Take the delivery of a channel that has been due longest, and count a try.

    Nobody else gets it before the loan is over; what another process takes just now is skipped.
    A time further away than any wait was written before the clock was put back.
    """
    due = (
        select(deliveries.c.id)
        .where(
            deliveries.c.channel == channel,
            _OPEN,
            or_(
                deliveries.c.try_at <= func.now(),
                deliveries.c.try_at > func.now() + MAX_AGE * 2,
            ),
        )
        .order_by(deliveries.c.try_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    row = connection.execute(
        update(deliveries)
        .where(deliveries.c.id == due.scalar_subquery())
        .values(tries=deliveries.c.tries + 1, try_at=func.now() + loan)
        .returning(deliveries)
    ).one_or_none()
    if row is None:
        return None
    return Delivery(
        id=row.id,
        key=row.key,
        tenant=row.tenant,
        channel=row.channel,
        event=row.event,
        body=row.body,
        created_at=row.created_at,
        tries=row.tries,
    )


def mark_delivered(connection: Connection, taken: Delivery) -> None:
    """Note that the other side has it, unless somebody else has taken it since."""
    connection.execute(_of(taken).values(delivered_at=func.now(), last_error=None))


def mark_failed(connection: Connection, taken: Delivery, *, error: str, wait: timedelta) -> bool:
    """Keep a delivery for another try after `wait`; tells whether it was given up instead.

    It is given up where that try would come when it is older than `MAX_AGE`.
    """
    next_at = func.now() + wait
    is_over = next_at > deliveries.c.created_at + MAX_AGE
    given_up = connection.execute(
        _of(taken)
        .values(
            try_at=next_at,
            last_error=as_stored(error)[:_ERROR_CHARACTERS],
            gave_up_at=case((is_over, func.now())),
        )
        .returning(deliveries.c.gave_up_at)
    ).scalar()
    return given_up is not None


def give_up(connection: Connection, taken: Delivery, *, error: str) -> None:
    """Try it no more."""
    connection.execute(
        _of(taken).values(gave_up_at=func.now(), last_error=as_stored(error)[:_ERROR_CHARACTERS])
    )


def give_up_stale(connection: Connection) -> int:
    """Give up what no channel of the file takes any more; gives how many."""
    return connection.execute(
        update(deliveries)
        .where(_OPEN, deliveries.c.created_at < func.now() - MAX_AGE - timedelta(hours=1))
        .values(
            gave_up_at=func.now(),
            last_error="No janitor has sent it: FLEET_DESK names its channel no more.",
        )
    ).rowcount


def count_open(connection: Connection) -> int:
    """Number of deliveries that are still to be taken."""
    return connection.execute(
        select(func.count()).select_from(deliveries).where(_OPEN)
    ).scalar_one()


def count_given_up(connection: Connection) -> int:
    """Number of deliveries of the last 30 days that nobody has taken."""
    query = select(func.count()).where(deliveries.c.gave_up_at > func.now() - _COUNTED)
    return connection.execute(query).scalar_one()


def _of(taken: Delivery) -> Update:
    """The row, as long as nobody has taken it since; an update that finds none does nothing."""
    return update(deliveries).where(
        deliveries.c.id == taken.id, deliveries.c.tries == taken.tries, _OPEN
    )
