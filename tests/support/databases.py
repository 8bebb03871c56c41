"""Throwaway databases with the store's tables, on the PostgreSQL server that the tests use."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from fleet_workers.store.migrate import create_database, upgrade

SERVER_URL_VARIABLE = "FLEET_TEST_POSTGRES_URL"
_DEFAULT_SERVER_URL = "postgresql://postgres@127.0.0.1:5432/postgres"


@contextmanager
def temporary_database(*, migrated: bool = True) -> Iterator[str]:
    """Make a database, with the store's tables unless told otherwise; gives its SQLAlchemy URL.

    It is dropped at the end, together with connections that are still open.
    """
    server = make_url(os.environ.get(SERVER_URL_VARIABLE, _DEFAULT_SERVER_URL)).set(
        drivername="postgresql+psycopg"
    )
    name = f"fleet_test_{secrets.token_hex(6)}"
    url = server.set(database=name).render_as_string(hide_password=False)
    create_database(url)
    try:
        if migrated:
            upgrade(url)
        yield url
    finally:
        engine = create_engine(server.set(database="postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))
        engine.dispose()
