"""Checks of PostgreSQL: reachable, of a version that works, up to date, with room and rights."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.pool import NullPool

from fleet_contracts.errors import ConfigurationError
from fleet_workers.doctor.finding import Check, Finding, failed, ok, warning
from fleet_workers.settings import Settings
from fleet_workers.store import row_security
from fleet_workers.store.engine import store_errors
from fleet_workers.store.version import TABLES_VERSION, check_version

_OLDEST = 15
_CONNECT_SECONDS, _STATEMENT_MS = 4, 4000
_CROWDED = 0.85
_LONG_TRANSACTION_MINUTES = 10
_CLOCK_SECONDS = 1.0

Look = Callable[[Connection], Iterator[Finding]]

_ROLE = text("""
SELECT rolsuper AS is_super, rolbypassrls AS bypasses,
    has_schema_privilege(current_user, 'public', 'USAGE') AS may_use,
    (SELECT count(*) FROM pg_database WHERE NOT datistemplate
     AND datname NOT IN ('postgres', current_database())) AS strangers,
    (SELECT count(*) FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
     WHERE nspname = 'public' AND relkind IN ('r', 'p')
        AND NOT has_table_privilege(pg_class.oid, 'SELECT, INSERT, UPDATE, DELETE')) AS closed
FROM pg_roles WHERE rolname = current_user
""")
_BARE = text("""
SELECT relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = 'public' AND relkind IN ('r', 'p') AND NOT relrowsecurity
    AND has_table_privilege(:role, pg_class.oid, 'SELECT')
    AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = pg_class.oid AND attname = 'tenant')
ORDER BY relname
""")
_CONNECTIONS = text("""
SELECT count(*) AS used, current_setting('max_connections')::int
    - current_setting('superuser_reserved_connections')::int AS room
FROM pg_stat_activity WHERE backend_type = 'client backend'
""")
_LONG = text("""
SELECT pid, application_name AS name, extract(epoch FROM now() - xact_start) / 60 AS minutes
FROM pg_stat_activity
WHERE xact_start < now() - make_interval(mins => :minutes) AND datname = current_database()
    AND backend_type = 'client backend'
ORDER BY xact_start LIMIT 3
""")


def store_check(settings: Settings) -> Check:
    """The check of the store that the settings name."""
    return Check(
        group="store",
        name="server",
        look=lambda: _look(settings),
        remedy="Start it, or correct FLEET_STORE_URL. `fleetctl db upgrade` makes the database.",
    )


def _look(settings: Settings) -> Iterator[Finding]:
    with opened(settings) as connection:
        for name, look in _LOOKS.items():
            try:
                for finding in look(connection):
                    yield replace(finding, name=name)
            except ProgrammingError as error:  # a table or right that is not there
                connection.rollback()
                text = str(error.orig).splitlines()[0]
                yield replace(failed(text, "Run `fleetctl db upgrade`."), name=name)


@contextmanager
def opened(settings: Settings) -> Iterator[Connection]:
    """A connection that reads only, and waits for nothing long.

    Raises:
        Unavailable: The store is away.
    """
    options = f"-c statement_timeout={_STATEMENT_MS} -c default_transaction_read_only=on"
    engine = create_engine(
        settings.sqlalchemy_url,
        poolclass=NullPool,
        connect_args={
            "connect_timeout": _CONNECT_SECONDS,
            "application_name": "doctor",
            "options": options,
        },
    )
    with store_errors(), engine.connect() as connection:
        yield connection


def _server(connection: Connection) -> Iterator[Finding]:
    row = connection.execute(
        text(
            "SELECT current_setting('server_version') AS version, "
            "current_setting('server_version_num')::int / 10000 AS major, "
            "pg_is_in_recovery() AS standby, current_setting('server_encoding') AS encoding"
        )
    ).one()
    if row.major < _OLDEST:
        yield failed(
            f"PostgreSQL {row.version}: nothing older than {_OLDEST} was tried.",
            f"Upgrade the server to PostgreSQL {_OLDEST} or newer.",
        )
    elif row.standby:
        yield failed(
            f"PostgreSQL {row.version} is a standby, and takes no writes.",
            "Point FLEET_STORE_URL at the primary.",
        )
    elif row.encoding != "UTF8":
        yield failed(
            f"The database's encoding is {row.encoding}.",
            "Make the database anew with ENCODING 'UTF8': customers write in all languages.",
        )
    else:
        yield ok(f"PostgreSQL {row.version}, {row.encoding}.")


def _tables(connection: Connection) -> Iterator[Finding]:
    try:
        check_version(connection)
    except ConfigurationError as error:
        found, _, remedy = str(error).rpartition(": ")
        yield failed(f"{found}.", remedy[:1].upper() + remedy[1:])
        return
    current = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if current == TABLES_VERSION:
        yield ok(f"The tables are at version {current}, as this code wants them.")
    else:
        yield warning(
            f"The tables are at version {current}, newer than this code ({TABLES_VERSION}); it "
            "can work on them.",
            "An upgrade is under way, or this process was left behind: start the newer release.",
        )


def _rights(connection: Connection) -> Iterator[Finding]:
    row = connection.execute(_ROLE).one()
    if not row.may_use or row.closed:
        yield failed(
            f"The user may not read and write {row.closed} of the tables.",
            "Let the user own the database, or grant SELECT, INSERT, UPDATE and DELETE on them.",
        )
    elif row.is_super and row.strangers:
        yield warning(
            f"The fleet signs in as a superuser of a server with {row.strangers} more databases.",
            "Give it a user that owns its database and nothing else.",
        )
    else:
        yield ok("The user may read and write all tables.")
    may_become = connection.execute(
        text(
            "SELECT CASE WHEN to_regrole(:role) IS NULL THEN NULL "
            "ELSE pg_has_role(current_user, :role, 'MEMBER') END"
        ),
        {"role": row_security.ROLE},
    ).scalar()
    if not may_become:
        what = "is missing" if may_become is None else "may not be taken on by the user"
        yield failed(
            f"The role {row_security.ROLE}, in which tenants' requests run, {what}.",
            f"As a superuser: CREATE ROLE {row_security.ROLE} NOLOGIN; "
            f"GRANT {row_security.ROLE} TO the user; then `fleetctl db upgrade`.",
        )


def _row_security(connection: Connection) -> Iterator[Finding]:
    if connection.execute(text("SELECT to_regrole(:r)"), {"r": row_security.ROLE}).scalar() is None:
        return  # said among the rights
    bare = connection.execute(_BARE, {"role": row_security.ROLE}).scalars().all()
    if bare:
        yield failed(
            f"Row-level security is off on {', '.join(bare)}.",
            "Turn it on: ALTER TABLE … ENABLE ROW LEVEL SECURITY, as the migrations did.",
        )
    else:
        yield ok("Every table with a tenant that tenants' requests read has row-level security.")


def _connections(connection: Connection) -> Iterator[Finding]:
    row = connection.execute(_CONNECTIONS).one()
    if row.used > row.room * _CROWDED:
        yield warning(
            f"{row.used} of {row.room} connections are taken.",
            "Raise max_connections, or lower FLEET_STORE_CONNECTIONS: a worker holds up to that "
            "and six more.",
        )
    else:
        yield ok(f"{row.used} of {row.room} connections are taken.")


def _long_transactions(connection: Connection) -> Iterator[Finding]:
    rows = connection.execute(_LONG, {"minutes": _LONG_TRANSACTION_MINUTES}).all()
    for row in rows:
        yield warning(
            f"{row.name or 'A client'} (pid {row.pid}) holds a transaction open for "
            f"{row.minutes:.0f} min.",
            "It keeps dead rows from being cleared away: end it, or "
            f"SELECT pg_terminate_backend({row.pid}).",
        )
    if not rows:
        yield ok(f"No transaction is older than {_LONG_TRANSACTION_MINUTES} min.")


def _upkeep(connection: Connection) -> Iterator[Finding]:
    row = connection.execute(
        text(
            "SELECT current_setting('autovacuum') AS autovacuum, current_setting('fsync') AS fsync,"
            " current_setting('synchronous_commit') AS commit"
        )
    ).one()
    if row.autovacuum != "on":
        yield warning("autovacuum is off.", "Turn it on, or tables grow without end.")
    if row.fsync != "on" or row.commit == "off":
        yield warning(
            f"A crash of the server may lose what was committed (fsync {row.fsync}, "
            f"synchronous_commit {row.commit}).",
            "Turn both on: the fleet's promises stand on what the store has kept.",
        )
    if (row.autovacuum, row.fsync) == ("on", "on") and row.commit != "off":
        yield ok("autovacuum, fsync and synchronous_commit are on.")


def _clock(connection: Connection) -> Iterator[Finding]:
    asked_at = time.time()
    stored = connection.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one()
    answered_at = time.time()
    off = max(asked_at - float(stored), float(stored) - answered_at, 0.0)
    if off > _CLOCK_SECONDS:
        yield warning(
            f"This machine's clock and the store's are {off:.1f} s apart.",
            "Run an NTP client on both. The store's clock counts; producers' clocks order the "
            "tasks of a session.",
        )
    else:
        yield ok("This machine's clock and the store's agree.")


_LOOKS: dict[str, Look] = {
    "server": _server,
    "tables": _tables,
    "rights": _rights,
    "tenants kept apart": _row_security,
    "connections": _connections,
    "long transactions": _long_transactions,
    "upkeep": _upkeep,
    "clock": _clock,
}
