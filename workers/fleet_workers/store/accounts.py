"""Tenants, and the keys that let their programs in. A key is kept as its SHA-256 only."""

import secrets
from dataclasses import dataclass
from hashlib import sha256
from uuid import UUID

from sqlalchemy import Connection, func, select, update
from sqlalchemy.dialects.postgresql import insert

from fleet_contracts.ids import new_task_id
from fleet_workers.store.tables import api_keys, tenants

ROLES = ("producer", "viewer", "reviewer", "operator", "admin")
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


def add_tenant(connection: Connection, name: str) -> bool:
    """Add a tenant; tells whether it is new."""
    added = connection.execute(
        insert(tenants).values(name=name).on_conflict_do_nothing().returning(tenants.c.name)
    ).scalar()
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


def add_key(connection: Connection, *, tenant: str, role: str, label: str) -> str:
    """Make a key with 256 random bits and return it; it cannot be read again later."""
    key = _PREFIX + secrets.token_urlsafe(32)
    connection.execute(
        insert(api_keys).values(
            id=new_task_id(), tenant=tenant, role=role, label=label, key_hash=_hash(key)
        )
    )
    return key


def holder_of(connection: Connection, key: str) -> KeyHolder | None:
    """Whom a key belongs to, or None for a key that is unknown or revoked."""
    row = connection.execute(
        select(api_keys).where(api_keys.c.key_hash == _hash(key), api_keys.c.revoked_at.is_(None))
    ).one_or_none()
    if row is None:
        return None
    return KeyHolder(id=row.id, tenant=row.tenant, role=row.role, label=row.label)


def revoke_keys(connection: Connection, *, label: str) -> int:
    """Revoke every key with a label and give their number."""
    return connection.execute(
        update(api_keys)
        .where(api_keys.c.label == label, api_keys.c.revoked_at.is_(None))
        .values(revoked_at=func.now())
    ).rowcount


def _hash(key: str) -> bytes:
    return sha256(key.encode()).digest()
