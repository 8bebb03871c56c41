"""Throwaway databases with the store's tables, on the PostgreSQL server that the tests use."""

import atexit
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.engine import URL, make_url

from fleet_workers import store
from fleet_workers.store.engine import open_engine
from fleet_workers.store.migrate import upgrade
from fleet_workers.store.tables import metadata
from support.embedded_stack import temporary_servers

SERVER_URL_VARIABLE = "FLEET_TEST_POSTGRES_URL"
for _module in iter_modules(store.__path__, f"{store.__name__}."):
    if _module.name.endswith("_tables"):  # without it the metadata would not know its tables
        import_module(_module.name)
_DEFAULT_SERVER_URL = "postgresql://postgres@127.0.0.1:5432/postgres"


@contextmanager
def temporary_database(*, migrated: bool = True) -> Iterator[str]:
    """Make a database, with the store's tables unless told otherwise; gives its SQLAlchemy URL.

    It is dropped at the end, together with connections that are still open.
    """
    with _database(_migrated() if migrated else "") as url:
        yield url


@contextmanager
def temporary_store(*, connections: int) -> Iterator[Engine]:
    """Make a database with the store's tables; gives the way to it, of so many connections."""
    with temporary_database() as url:
        engine = open_engine(url, connections=connections, application="tests")
        yield engine
        engine.dispose()


@cache
def _migrated() -> str:
    """The name of a database with the tables, migrated once a process; the others are copies."""
    kept = ExitStack()
    atexit.register(kept.close)
    url = kept.enter_context(_database(""))
    upgrade(url)
    return str(make_url(url).database)


@contextmanager
def _database(source: str) -> Iterator[str]:
    name = f"fleet_test_{secrets.token_hex(6)}"
    _on_server(f'CREATE DATABASE "{name}"' + (f' TEMPLATE "{source}"' if source else ""))
    try:
        yield _server().set(database=name).render_as_string(hide_password=False)
    finally:
        _on_server(f'DROP DATABASE "{name}" WITH (FORCE)')


def _on_server(statement: str) -> None:
    engine = create_engine(_server(), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


def empty_tables(connection: Connection) -> None:
    """Delete everything but the audit trail, which lets nothing be deleted."""
    for table in metadata.tables.values():
        if not table.name.startswith("audit"):
            connection.execute(table.delete())


def _server() -> URL:
    return make_url(_server_url()).set(drivername="postgresql+psycopg", database="postgres")


@cache
def _server_url() -> str:
    """The server that is named or runs on the standard port; else one from the wheel."""
    if given := os.environ.get(SERVER_URL_VARIABLE):
        return given
    default = make_url(_DEFAULT_SERVER_URL)
    try:
        socket.create_connection((default.host, default.port), timeout=1).close()
    except OSError:
        running = ExitStack()
        atexit.register(running.close)
        return running.enter_context(temporary_servers()).postgres.url("postgres")
    return _DEFAULT_SERVER_URL
