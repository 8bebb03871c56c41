"""Tenants, and the keys that let their programs in. A key is kept as its SHA-256 only."""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Row, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from fleet_contracts.errors import InvalidInput, UnknownTenant
from fleet_contracts.ids import new_task_id
from fleet_workers.store import audit
from fleet_workers.store.audit import AuditKind, Entry
from fleet_workers.store.tables import api_keys, tenants

ROLES = ("producer", "viewer", "reviewer", "operator", "admin")
FLEET = "fleet"
"""Who did it, where it was the fleet itself."""

ENTRY_ROLE = "entry"
"""The role of one-time links, which stand among the keys and allow nothing."""

USE_NOTED_EVERY = timedelta(minutes=1)
"""How exact the time is at which a key, a person or a session was last seen."""

_PREFIX = "fleet_"
_SHOWN = tuple(column for column in api_keys.c if column.name != "key_hash")


class UnknownKey(InvalidInput):
    """No key of that id exists in the caller's tenant."""

    code = "unknown_key"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyHolder:
    """Whom a key belongs to. Tenant `*` stands for an operator of the whole fleet.

    `groups` are those whose reviews the holder may decide, None all. `person` is the account of a
    person who is signed in; programs have none. `rights` narrows what the role allows; None is all
    of it. `used_at` is when a key was used before, exact to the minute.
    """

    id: UUID
    tenant: str
    role: str
    label: str
    groups: tuple[str, ...] | None = None
    skills: tuple[str, ...] = ()
    person: UUID | None = None
    rights: frozenset[str] | None = None
    used_at: datetime | None = None

    @property
    def sees(self) -> str | None:
        """The tenant whose rows the holder may see, or None for all."""
        return None if self.tenant == "*" else self.tenant


def add_tenant(connection: Connection, name: str, *, by: str = FLEET) -> bool:
    """Add a tenant; tells whether it is new."""
    added = connection.execute(
        insert(tenants).values(name=name).on_conflict_do_nothing().returning(tenants.c.name)
    ).scalar()
    if added is not None:
        entry = Entry(kind=AuditKind.TENANT, who=by, what="tenant added", tenant=name)
        audit.add(connection, entry)
    return added is not None


def tenant_names(connection: Connection) -> list[str]:
    """All tenants in alphabetical order."""
    return list(connection.execute(select(tenants.c.name).order_by(tenants.c.name)).scalars())


def tenant_exists(connection: Connection, name: str) -> bool:
    """Tell whether a tenant of that name was added. NUL, which no text of the store holds, is none.

    Names come from outside, also unchecked.
    """
    query = select(tenants.c.name).where(tenants.c.name == name)
    return "\0" not in name and connection.execute(query).scalar() is not None


def require_tenant(
    connection: Connection, name: str, *, remedy: str = "add it with `fleetctl tenants add NAME`"
) -> None:
    """Refuse a name that no tenant has; `remedy` ends the sentence that says so.

    Raises:
        UnknownTenant: No tenant of that name was added.
    """
    if not tenant_exists(connection, name):
        raise UnknownTenant(f"No tenant is called {name!r}: {remedy}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What is kept of a key. `used_at` is exact to the minute."""

    id: UUID
    tenant: str
    role: str
    label: str
    rights: tuple[str, ...] | None
    created_at: datetime
    expires_at: datetime | None
    used_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedKey:
    """A key that was made just now: `text` is what its holder sends, and is kept nowhere."""

    text: str = field(repr=False)
    kept: Key


def issue_key(
    connection: Connection,
    *,
    tenant: str,
    role: str,
    label: str,
    rights: Iterable[str] | None = None,
    expires_at: datetime | None = None,
    by: str = FLEET,
) -> IssuedKey:
    """Make a key with 256 random bits. Its text cannot be read again later.

    `rights` narrows what the role allows; None is all of it. Without `expires_at` the key works
    until it is revoked.
    """
    text = _PREFIX + secrets.token_urlsafe(32)
    row = connection.execute(
        insert(api_keys)
        .values(
            id=new_task_id(),
            tenant=tenant,
            role=role,
            label=label,
            key_hash=_hash(text),
            rights=None if rights is None else sorted(rights),
            expires_at=expires_at,
        )
        .returning(*_SHOWN)
    ).one()
    audit.add(connection, _entry("key added", row, by=by))
    return IssuedKey(text=text, kept=_key(row))


def add_key(connection: Connection, *, tenant: str, role: str, label: str, by: str = FLEET) -> str:
    """Make a key for all that a role allows, and return its text."""
    return issue_key(connection, tenant=tenant, role=role, label=label, by=by).text


def holder_of(connection: Connection, key: str) -> KeyHolder | None:
    """Whom a key belongs to, or None for a key that is unknown, revoked or expired."""
    return _holder(connection, api_keys.c.key_hash == _hash(key))


def holder_by_id(connection: Connection, key_id: UUID) -> KeyHolder | None:
    """Whom a key belongs to, found by its id; None once it is revoked or expired."""
    return _holder(connection, api_keys.c.id == key_id)


def note_use(connection: Connection, key_id: UUID) -> None:
    """Remember that a key was used now, where that was not noted within the last minute.

    Waits for nobody: of many requests at once one writes.
    """
    stale = or_(api_keys.c.used_at.is_(None), api_keys.c.used_at < func.now() - USE_NOTED_EVERY)
    free = (
        select(api_keys.c.id)
        .where(api_keys.c.id == key_id, stale)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    connection.execute(update(api_keys).where(api_keys.c.id == free).values(used_at=func.now()))


def keys(
    connection: Connection, *, tenant: str | None, limit: int, revoked: bool = False
) -> list[Key]:
    """The newest keys of a tenant, or of all; with `revoked` those too that are no longer valid."""
    query = select(*_SHOWN).where(api_keys.c.role != ENTRY_ROLE)
    if tenant is not None:
        query = query.where(api_keys.c.tenant == tenant)
    if not revoked:
        query = query.where(api_keys.c.revoked_at.is_(None))
    newest = query.order_by(api_keys.c.created_at.desc(), api_keys.c.id).limit(limit)
    return [_key(row) for row in connection.execute(newest)]


def find_key(connection: Connection, key_id: UUID, *, tenant: str | None) -> Key:
    """One key of a tenant, or of any for None.

    Raises:
        UnknownKey: There is none.
    """
    query = select(*_SHOWN).where(api_keys.c.id == key_id, api_keys.c.role != ENTRY_ROLE)
    if tenant is not None:
        query = query.where(api_keys.c.tenant == tenant)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise UnknownKey(f"No key has the id {key_id}: list the keys to see their ids.")
    return _key(row)


def revoke_key(connection: Connection, key_id: UUID, *, by: str = FLEET) -> bool:
    """Revoke one key; tells whether it was valid until now."""
    return _revoke(connection, api_keys.c.id == key_id, by=by) == 1


def revoke_keys(connection: Connection, *, label: str, by: str = FLEET) -> int:
    """Revoke every key with a label and give their number."""
    return _revoke(connection, api_keys.c.label == label, by=by)


def _holder(connection: Connection, which: ColumnElement[bool]) -> KeyHolder | None:
    alive = or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > func.now())
    row = connection.execute(
        select(*_SHOWN).where(which, api_keys.c.revoked_at.is_(None), alive)
    ).one_or_none()
    if row is None:
        return None
    return KeyHolder(
        id=row.id,
        tenant=row.tenant,
        role=row.role,
        label=row.label,
        rights=None if row.rights is None else frozenset(row.rights),
        used_at=row.used_at,
    )


def _key(row: Row[Any]) -> Key:
    return Key(
        id=row.id,
        tenant=row.tenant,
        role=row.role,
        label=row.label,
        rights=None if row.rights is None else tuple(row.rights),
        created_at=row.created_at,
        expires_at=row.expires_at,
        used_at=row.used_at,
        revoked_at=row.revoked_at,
    )


def _revoke(connection: Connection, which: ColumnElement[bool], *, by: str) -> int:
    revoked = connection.execute(
        update(api_keys)
        .where(which, api_keys.c.revoked_at.is_(None))
        .values(revoked_at=func.now())
        .returning(*_SHOWN)
    ).all()
    audit.add(connection, *(_entry("key revoked", each, by=by) for each in revoked))
    return len(revoked)


def _entry(what: str, key: Row[Any], *, by: str) -> Entry:
    detail = {"key": str(key.id), "role": key.role, "label": key.label}
    if key.rights is not None:
        detail["rights"] = ", ".join(key.rights)
    return Entry(
        kind=AuditKind.KEY,
        who=by,
        what=what,
        tenant=None if key.tenant == "*" else key.tenant,
        detail=detail,
    )


def _hash(key: str) -> bytes:
    return sha256(key.encode("utf-8", "surrogatepass")).digest()
