"""Who is signed in to the console. The browser has a random token, the store its SHA-256 only."""

import secrets
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256

from sqlalchemy import Connection, delete, func, insert, or_, select, update

from fleet_workers.store import accounts, people
from fleet_workers.store.accounts import USE_NOTED_EVERY, KeyHolder
from fleet_workers.store.desk_tables import desk_sessions


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Somebody who is signed in. `note_due` asks for `note_seen`.

    That is once a minute, or, where sessions end by less, twice as often as they do.
    """

    holder: KeyHolder
    note_due: bool


def start(connection: Connection, holder: KeyHolder, *, lifetime: timedelta) -> str:
    """Sign a person, or a key's holder, in; gives the token of 256 random bits."""
    token = secrets.token_urlsafe(32)
    connection.execute(
        insert(desk_sessions).values(
            token_hash=_hash(token),
            person_id=holder.person,
            key_id=holder.id if holder.person is None else None,
            tenant=holder.tenant,
            role=holder.role,
            label=holder.label,
            expires_at=func.now() + lifetime,
        )
    )
    return token


def find(connection: Connection, token: str, *, idle: timedelta) -> Session | None:
    """Who is signed in by a token, with the role and tenant of this moment.

    None for a token that is unknown, too old, was not used for as long as `idle`, or whose person
    is disabled or key revoked or expired.
    """
    row = connection.execute(
        select(
            desk_sessions.c.person_id,
            desk_sessions.c.key_id,
            (desk_sessions.c.seen_at < func.now() - min(USE_NOTED_EVERY, idle / 2)).label("due"),
        ).where(
            desk_sessions.c.token_hash == _hash(token),
            desk_sessions.c.expires_at > func.now(),
            desk_sessions.c.seen_at > func.now() - idle,
        )
    ).one_or_none()
    if row is None:
        return None
    if row.person_id is not None:
        holder = people.enabled_holder(connection, row.person_id)
    else:
        holder = accounts.holder_by_id(connection, row.key_id)
    return None if holder is None else Session(holder=holder, note_due=row.due)


def note_seen(connection: Connection, token: str) -> None:
    """Put the end by idleness off. Waits for nobody: of many requests at once one writes."""
    free = (
        select(desk_sessions.c.token_hash)
        .where(desk_sessions.c.token_hash == _hash(token))
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    connection.execute(
        update(desk_sessions).where(desk_sessions.c.token_hash == free).values(seen_at=func.now())
    )


def end(connection: Connection, token: str) -> None:
    """Sign out: the token is worth nothing from now on, wherever it was copied to."""
    connection.execute(delete(desk_sessions).where(desk_sessions.c.token_hash == _hash(token)))


def delete_expired(connection: Connection, *, idle: timedelta) -> int:
    """Delete the rows of sessions that have ended by time; gives their number."""
    ended = or_(
        desk_sessions.c.expires_at <= func.now(), desk_sessions.c.seen_at <= func.now() - idle
    )
    return connection.execute(delete(desk_sessions).where(ended)).rowcount


def _hash(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogatepass")).digest()
