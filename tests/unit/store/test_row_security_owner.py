"""Row-level security where the store's user is no superuser."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import make_url

from fleet_contracts.envelope import build_envelope
from fleet_contracts.errors import ConfigurationError
from fleet_workers.store import tasks
from fleet_workers.store.engine import open_engine
from fleet_workers.store.migrate import upgrade
from fleet_workers.store.row_security import ROLE, for_tenant
from support.databases import temporary_database


@contextmanager
def owner_without_rights(url: str, rights: str) -> Iterator[str]:
    """The URL of the same database for a user who owns it and is no superuser."""
    name = f"fleet_owner_{secrets.token_hex(4)}"
    admin = create_engine(url, isolation_level="AUTOCOMMIT")
    database = make_url(url).database
    with admin.connect() as connection:
        connection.execute(text(f"CREATE ROLE {name} LOGIN PASSWORD 'x' {rights}"))
        connection.execute(text(f'ALTER DATABASE "{database}" OWNER TO {name}'))
        connection.execute(text(f"GRANT ALL ON SCHEMA public TO {name}"))
    try:
        owners = make_url(url).set(username=name, password="x")
        yield owners.render_as_string(hide_password=False)
    finally:
        with admin.connect() as connection:
            connection.execute(text(f"REASSIGN OWNED BY {name} TO CURRENT_USER"))
            connection.execute(text(f"DROP OWNED BY {name}"))
            connection.execute(text(f"DROP ROLE {name}"))
        admin.dispose()


def whose_tasks(connection: Connection) -> set[str]:
    return set(connection.execute(text("SELECT tenant FROM tasks")).scalars())


def test_a_store_whose_user_is_no_superuser() -> None:
    """The role stands already, for another database of the server."""
    with (
        temporary_database(),
        temporary_database(migrated=False) as url,
        owner_without_rights(url, "NOCREATEROLE") as owners_url,
    ):
        with pytest.raises(ConfigurationError, match="GRANT fleet_tenant TO") as refused:
            upgrade(owners_url)
        remedy = str(refused.value).partition("run: ")[2].partition("; and then")[0]
        admin = create_engine(url)
        with admin.begin() as connection:
            connection.execute(text(remedy))
        admin.dispose()
        upgrade(owners_url)
        owned = open_engine(owners_url, connections=1, application="tests")
        with owned.begin() as connection:
            for tenant in ("acme", "globex"):
                envelope = build_envelope(tenant=tenant, agent="billing", input="Hello?")
                tasks.accept(connection, envelope, traceparent=None)
            assert whose_tasks(connection) == {"acme", "globex"}
        with for_tenant(owned, "acme").begin() as connection:
            assert whose_tasks(connection) == {"acme"}
            assert connection.execute(text("SELECT CURRENT_USER")).scalar() == ROLE
        owned.dispose()
