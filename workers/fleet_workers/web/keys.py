"""Makes keys, and the one-time links that open the console without typing one.

A link's token is itself a row among the keys, under a role that allows nothing. Using it revokes it
in one conditional UPDATE, so it works once whatever number of web processes runs, and the process
that makes it needs no secret in common with the one that serves it.
"""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import Connection, Engine, func, select, update

from fleet_contracts.errors import InvalidInput, UnknownTenant
from fleet_workers.store.accounts import (
    FLEET,
    ROLES,
    KeyHolder,
    add_key,
    holder_of,
    revoke_keys,
    tenant_exists,
)
from fleet_workers.store.engine import store_errors
from fleet_workers.store.tables import api_keys

ALL_TENANTS = "*"
ENTRY_LIFETIME = timedelta(minutes=15)
_ENTRY_ROLE = "entry"


def create_key(engine: Engine, *, tenant: str, role: str, label: str, by: str = FLEET) -> str:
    """Make a key and return it; it cannot be read again. Tenant `*` stands for all tenants.

    Raises:
        InvalidInput: The role is not known, or the label is empty.
        UnknownTenant: The tenant was not added.
        Unavailable: The store is away.
    """
    with store_errors(), engine.begin() as connection:
        return _add_checked(connection, tenant=tenant, role=role, label=label, by=by)


def reset_key(engine: Engine, *, tenant: str, role: str, label: str) -> str:
    """Make a key and revoke all earlier ones with its label, with the errors of `create_key`."""
    with store_errors(), engine.begin() as connection:
        revoke_keys(connection, label=label)
        return _add_checked(connection, tenant=tenant, role=role, label=label, by=FLEET)


def create_entry(engine: Engine, *, key: str) -> str:
    """Make the token of `/console/enter?token=…`: it signs in as `key`'s holder, once.

    It works for fifteen minutes and is no key for the API.

    Raises:
        InvalidInput: The key is not known.
        Unavailable: The store is away.
    """
    with store_errors(), engine.begin() as connection:
        holder = holder_of(connection, key)
        if holder is None:
            raise InvalidInput("The key is not known or was revoked: make a new one.")
        return add_key(connection, tenant=holder.tenant, role=_ENTRY_ROLE, label=str(holder.id))


def redeem_entry(connection: Connection, token: str) -> KeyHolder | None:
    """Use a token up and give whom it signs in; None where it was used or is too old."""
    entry = holder_of(connection, token)
    if entry is None or entry.role != _ENTRY_ROLE:
        return None
    used = connection.execute(
        update(api_keys)
        .where(
            api_keys.c.id == entry.id,
            api_keys.c.revoked_at.is_(None),
            api_keys.c.created_at > func.now() - ENTRY_LIFETIME,
        )
        .values(revoked_at=func.now())
        .returning(api_keys.c.label)
    ).scalar()
    return live_holder(connection, UUID(used)) if used is not None else None


def live_holder(connection: Connection, key_id: UUID) -> KeyHolder | None:
    """Whom a key belongs to, found by its id; None once it is revoked."""
    row = connection.execute(
        select(api_keys).where(api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None))
    ).one_or_none()
    if row is None:
        return None
    return KeyHolder(id=row.id, tenant=row.tenant, role=row.role, label=row.label)


def _add_checked(connection: Connection, *, tenant: str, role: str, label: str, by: str) -> str:
    if role not in ROLES:
        raise InvalidInput(f"No role is called {role!r}. Roles: {', '.join(ROLES)}.")
    if not label.strip():
        raise InvalidInput("Give the key a label, so that it can be told from others.")
    if tenant != ALL_TENANTS and not tenant_exists(connection, tenant):
        raise UnknownTenant(f"No tenant is called {tenant!r}: add it first, or use * for all.")
    return add_key(connection, tenant=tenant, role=role, label=label, by=by)
