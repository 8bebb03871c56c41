"""Row-level security: transactions in which PostgreSQL itself shows one tenant's rows only.

Migration 0005 has the role and the policies. Work for all tenants (workers, janitors, operators of
the fleet) runs as the store's own user, who owns the tables and is not bound by them.
"""

from sqlalchemy import Connection, Engine, event

ROLE = "fleet_tenant"
"""The role of such transactions. Nobody logs in with it; the databases of a server share it."""

_OPTION = "fleet_tenant"
_BIND = f"SELECT set_config('role', '{ROLE}', true), set_config('fleet.tenant', %s, true)"


def for_tenant(engine: Engine, tenant: str) -> Engine:
    """The same pool of connections, on which every transaction is bound to a tenant.

    One round trip a transaction. Role and tenant end with the transaction: a connection that goes
    back to the pool is bound to nobody.
    """
    if not event.contains(engine, "begin", _bind):
        event.listen(engine, "begin", _bind)
    return engine.execution_options(**{_OPTION: tenant})


def is_bound(engine: Engine) -> bool:
    """Tell whether transactions of this engine are bound to a tenant."""
    return _OPTION in engine.get_execution_options()


def _bind(connection: Connection) -> None:
    options = connection.get_execution_options()
    tenant = options.get(_OPTION)
    if tenant is None:
        return
    if options.get("isolation_level") == "AUTOCOMMIT":
        raise ValueError("A tenant is bound to a transaction: there is none with autocommit.")
    connection.exec_driver_sql(_BIND, (tenant,))
