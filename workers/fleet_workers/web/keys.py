"""Makes keys, and the one-time links that open the console without typing one.

A link's token is itself a row among the keys, under a role that allows nothing. Using it revokes it
in one conditional UPDATE, so it works once whatever number of web processes runs, and the process
that makes it needs no secret in common with the one that serves it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, Engine, func, update

from fleet_contracts.errors import InvalidInput
from fleet_workers.store import accounts
from fleet_workers.store.accounts import (
    ENTRY_ROLE,
    FLEET,
    ROLES,
    IssuedKey,
    KeyHolder,
    add_key,
    holder_by_id,
    holder_of,
    issue_key,
    revoke_keys,
)
from fleet_workers.store.engine import store_errors
from fleet_workers.store.tables import api_keys
from fleet_workers.web.access import Right, rights_of_role

ALL_TENANTS = "*"
ENTRY_LIFETIME = timedelta(minutes=15)
LONGEST_LABEL = 200
LONGEST_LIFETIME = timedelta(days=3650)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key to make. Tenant `*` stands for all tenants.

    `rights` are short names such as `read_tasks`, which narrow what the role allows; None is all of
    it. Without `expires_at` the key works until it is revoked.
    """

    tenant: str
    role: str
    label: str
    rights: Sequence[str] | None = None
    expires_at: datetime | None = None


def create_key(connection: Connection, new: NewKey, *, by: str = FLEET) -> IssuedKey:
    """Make a key. Its text cannot be read again.

    Raises:
        InvalidInput: The role or a right is not known, the label is empty or too long, or the key
            would have expired or last over ten years.
        UnknownTenant: The tenant was not added.
    """
    if new.role not in ROLES:
        raise InvalidInput(f"No role is called {new.role!r}. Roles: {', '.join(ROLES)}.")
    label = new.label.strip()
    if not label or len(label) > LONGEST_LABEL or "\0" in label:
        raise InvalidInput(
            f"Give the key a label of 1 to {LONGEST_LABEL} characters, so that it can be told from "
            "others."
        )
    if new.expires_at is not None:
        _check_lifetime(new.expires_at - datetime.now(UTC))
    require_tenant(connection, new.tenant)
    return issue_key(
        connection,
        tenant=new.tenant,
        role=new.role,
        label=label,
        rights=None if new.rights is None else {each.short_name for each in granted(new)},
        expires_at=new.expires_at,
        by=by,
    )


def granted(new: NewKey) -> frozenset[Right]:
    """What a key would allow.

    Raises:
        InvalidInput: A right is not one of the role's, or none is left.
    """
    allowed = rights_of_role(new.role)
    if new.rights is None:
        return allowed
    chosen = frozenset(right for right in allowed if right.short_name in new.rights)
    if not chosen or len(chosen) < len(set(new.rights)):
        names = ", ".join(sorted(right.short_name for right in allowed))
        raise InvalidInput(f"The role {new.role} has these rights: {names}. Name some of them.")
    return chosen


def require_tenant(connection: Connection, name: str) -> None:
    """Make sure that a tenant was added; `*` always is.

    Raises:
        UnknownTenant: It was not.
    """
    if name != ALL_TENANTS:
        accounts.require_tenant(connection, name, remedy="add it first, or use * for all")


def _check_lifetime(lifetime: timedelta) -> None:
    if not timedelta() < lifetime <= LONGEST_LIFETIME:
        raise InvalidInput(
            f"The key would have expired, or last over {LONGEST_LIFETIME.days:,} days: name "
            "another time, or none for a key that lasts until it is revoked."
        )


def reset_key(engine: Engine, *, tenant: str, role: str, label: str) -> str:
    """Make a key and revoke all earlier ones with its label, with the errors of `create_key`.

    Raises:
        Unavailable: The store is away.
    """
    with store_errors(), engine.begin() as connection:
        revoke_keys(connection, label=label)
        return create_key(connection, NewKey(tenant=tenant, role=role, label=label)).text


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
        return add_key(connection, tenant=holder.tenant, role=ENTRY_ROLE, label=str(holder.id))


def redeem_entry(connection: Connection, token: str) -> KeyHolder | None:
    """Use a token up and give whom it signs in; None where it was used or is too old."""
    entry = holder_of(connection, token)
    if entry is None or entry.role != ENTRY_ROLE:
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
    return holder_by_id(connection, UUID(used)) if used is not None else None
