"""Lets the oldest entries of the audit trail go without breaking its chain.

First an entry is written that tells up to which position, and with which hash there, the chain is
dropped. Once it is itself sealed, the store lets the entries up to that position be deleted, and
whoever verifies the chain begins at that hash.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeVar

from sqlalchemy import Connection, Engine, func, select, text

from fleet_workers.store import audit as trail
from fleet_workers.store.audit import AuditKind, Entry
from fleet_workers.store.audit_tables import audit, audit_inbox
from fleet_workers.store.engine import store_errors

T = TypeVar("T")

_STRETCH: Final = 50_000  # entries a checkpoint at most: looked through in 0.1 s
_BATCH: Final = 2000
_LOCK: Final = text("SELECT pg_try_advisory_xact_lock(7461202615)")
# The order of positions is that of sealing: an entry may be a little older than one before it.
_FIND: Final = text("""
WITH first AS (SELECT position, hash, at FROM audit ORDER BY position LIMIT :stretch)
SELECT position, encode(hash, 'hex') AS hash, at FROM first
WHERE position < COALESCE(
    (SELECT min(position) FROM first WHERE at >= date_trunc('day', now() - :kept, 'UTC')),
    9223372036854775807)
ORDER BY position DESC LIMIT 1
""")
_DELETE: Final = text("""
DELETE FROM audit WHERE position IN (
    SELECT position FROM audit WHERE position <= :through ORDER BY position LIMIT :limit)
""")
_ALLOW: Final = text("SELECT set_config('fleet.audit_retention', 'on', true)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Up to which position the chain was dropped, and the hash in hex that stood there."""

    position: int
    hash: str


def checkpoints(connection: Connection) -> list[Checkpoint]:
    """Every checkpoint that is sealed, the oldest first."""
    detail = audit.c.detail
    rows = connection.execute(
        select(detail["through"].as_string(), detail["hash"].as_string())
        .where(audit.c.kind == AuditKind.RETENTION, detail["through"].is_not(None))
        .order_by(audit.c.position)
    )
    return [
        Checkpoint(position=int(row[0]), hash=row[1])
        for row in rows
        if row[0].isdecimal() and row[1] is not None
    ]


def drop_old(engine: Engine, kept: timedelta, *, told: Callable[[str, int], T]) -> Iterator[T]:
    """Drop entries of which a sealed checkpoint tells, then write one for those that are old now.

    So the entries of a day go one round after that day is old. After each transaction gives what
    `told` makes of `audit` and the number of rows.

    Raises:
        Unavailable: The store is away.
    """
    while True:
        with store_errors(), engine.begin() as connection:
            gone = _delete_some(connection)
        yield told("audit", gone)
        if not gone:
            break
    with store_errors(), engine.begin() as connection:
        _write_checkpoint(connection, kept)
    yield told("audit", 0)


def count_old(connection: Connection, kept: timedelta) -> tuple[int, datetime | None]:
    """Number of entries that are older than they are kept, and the time of the oldest."""
    row = connection.execute(
        select(func.count().label("rows"), func.min(audit.c.at).label("at")).where(
            audit.c.at < func.date_trunc("day", func.now() - kept, "UTC")
        )
    ).one()
    return row.rows, row.at


def _delete_some(connection: Connection) -> int:
    first = connection.execute(select(func.min(audit.c.position))).scalar()
    through = max((each.position for each in checkpoints(connection)), default=0)
    if first is None or first > through or not connection.execute(_LOCK).scalar_one():
        return 0
    connection.execute(_ALLOW)
    return connection.execute(_DELETE, {"through": through, "limit": _BATCH}).rowcount


def _write_checkpoint(connection: Connection, kept: timedelta) -> None:
    if not connection.execute(_LOCK).scalar_one():
        return
    waiting = select(audit_inbox.c.id).where(audit_inbox.c.kind == AuditKind.RETENTION).limit(1)
    if connection.execute(waiting).scalar() is not None:
        return
    last = connection.execute(_FIND, {"stretch": _STRETCH, "kept": kept}).one_or_none()
    if last is None or any(last.position <= each.position for each in checkpoints(connection)):
        return
    trail.add(
        connection,
        Entry(
            kind=AuditKind.RETENTION,
            who="janitor",
            what="audit entries dropped",
            why=f"kept for {kept.days} days",
            detail={"through": last.position, "hash": last.hash},
        ),
    )
