"""Tenants and keys of a fleet that was started on one machine."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from fleet_workers.store.accounts import add_tenant
from fleet_workers.store.engine import open_engine, store_errors
from fleet_workers.web.keys import ALL_TENANTS, create_entry, reset_key

DEFAULT_TENANT: Final = "acme"
SANDBOX_TENANTS: Final = (DEFAULT_TENANT, "globex")
_LABEL: Final = "fleetctl up"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAccess:
    """What lets the run in. All keys of the run before are revoked by then.

    `fleet_key` acts for every tenant, `client_key` for the default tenant. `console_path` signs
    its first caller in to the console, once.
    """

    fleet_key: str = field(repr=False)
    client_key: str = field(repr=False)
    console_path: str = field(repr=False)


def grant_access(sqlalchemy_url: str, tenants: Iterable[str]) -> RunAccess:
    """Add the sandbox's tenants and `tenants`, and make the run's keys.

    Raises:
        Unavailable: The store is away.
    """
    engine = open_engine(sqlalchemy_url, connections=1, application="fleetctl up")
    try:
        with store_errors(), engine.begin() as connection:
            for tenant in sorted({*SANDBOX_TENANTS, *tenants}):
                add_tenant(connection, tenant)
        fleet_key = reset_key(engine, tenant=ALL_TENANTS, role="admin", label=_LABEL)
        client_key = reset_key(
            engine, tenant=DEFAULT_TENANT, role="operator", label=f"{_LABEL}: client"
        )
        token = create_entry(engine, key=fleet_key)
    finally:
        engine.dispose()
    return RunAccess(
        fleet_key=fleet_key,
        client_key=client_key,
        console_path=f"/console/enter?token={token}",
    )
