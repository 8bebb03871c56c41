"""Tenants, and the keys that let their programs in. A key is kept as its SHA-256 only."""

import secrets
from dataclasses import dataclass
from hashlib import sha256
from uuid import UUID

from sqlalchemy import Connection, func, select, update
from sqlalchemy.dialects.postgresql import insert

from fleet_contracts.ids import new_task_id
from fleet_workers.store import audit
from fleet_workers.store.audit import AuditKind, Entry
from fleet_workers.store.tables import api_keys, tenants

ROLES = ("producer", "viewer", "reviewer", "operator", "admin")
FLEET = "fleet"
"""Who did it, where it was the fleet itself."""

_PREFIX = "fleet_"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyHolder:
    """Whom a key belongs to. Tenant `*` stands for an operator of the whole fleet."""

    id: UUID
    tenant: str
    role: str
    label: str

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
    """Tell whether a tenant of that name was added."""
    return (
        connection.execute(select(tenants.c.name).where(tenants.c.name == name)).scalar()
        is not None
    )


def add_key(connection: Connection, *, tenant: str, role: str, label: str, by: str = FLEET) -> str:
    """Make a key with 256 random bits and return it; it cannot be read again later."""
    key = _PREFIX + secrets.token_urlsafe(32)
    holder = KeyHolder(id=new_task_id(), tenant=tenant, role=role, label=label)
    connection.execute(
        insert(api_keys).values(
            id=holder.id, tenant=tenant, role=role, label=label, key_hash=_hash(key)
        )
    )
    audit.add(connection, _entry("key added", holder, by=by))
    return key


def holder_of(connection: Connection, key: str) -> KeyHolder | None:
    """Whom a key belongs to, or None for a key that is unknown or revoked."""
    row = connection.execute(
        select(api_keys).where(api_keys.c.key_hash == _hash(key), api_keys.c.revoked_at.is_(None))
    ).one_or_none()
    if row is None:
        return None
    return KeyHolder(id=row.id, tenant=row.tenant, role=row.role, label=row.label)


def revoke_keys(connection: Connection, *, label: str, by: str = FLEET) -> int:
    """Revoke every key with a label and give their number."""
    rows = connection.execute(
        update(api_keys)
        .where(api_keys.c.label == label, api_keys.c.revoked_at.is_(None))
        .values(revoked_at=func.now())
        .returning(api_keys.c.id, api_keys.c.tenant, api_keys.c.role, api_keys.c.label)
    )
    revoked = [
        KeyHolder(id=row.id, tenant=row.tenant, role=row.role, label=row.label) for row in rows
    ]
    audit.add(connection, *(_entry("key revoked", each, by=by) for each in revoked))
    return len(revoked)


def _entry(what: str, key: KeyHolder, *, by: str) -> Entry:
    return Entry(
        kind=AuditKind.KEY,
        who=by,
        what=what,
        tenant=key.sees,
        detail={"key": str(key.id), "role": key.role, "label": key.label},
    )


def _hash(key: str) -> bytes:
    return sha256(key.encode()).digest()
