"""Brings the store's tables to the version that this code needs, while a fleet works on them."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from fleet_contracts.errors import Unavailable
from fleet_workers.store.version import note_compatibility

FOLDER: Final = Path(__file__).parent / "migrations"
_LOCK = 7_461_202_611  # any number that only migrations use: one upgrade at a time
_LOCK_TIMEOUT_MS = 2000  # while a migration waits for a table, whoever wants it next waits, too
_PATIENCE_SECONDS = 300.0
_LOCK_NOT_AVAILABLE, _DEADLOCK = "55P03", "40P01"


def upgrade(sqlalchemy_url: str, *, folder: Path = FOLDER, to: str = "head") -> str:
    """Apply every missing migration up to `to` and return the version reached.

    Each is a transaction of its own. One that finds its tables busy gives up after two seconds,
    lets the fleet through, and is tried again. Two upgrades at once are safe.

    Raises:
        Unavailable: A table stayed locked, or another upgrade at work, for five minutes.
    """
    engine = create_engine(sqlalchemy_url)
    configuration = _configuration(folder)
    try:
        with _alone(engine):
            _until_free(lambda: _migrate(engine, configuration, to))
            with engine.begin() as connection:
                current = _current(connection)
                if current is not None:
                    script = ScriptDirectory.from_config(configuration).get_revision(current)
                    note_compatibility(connection, getattr(script.module, "works_with", current))
                return current or "none"
    finally:
        engine.dispose()


def create_database(sqlalchemy_url: str) -> bool:
    """Create the database that the URL names, where it is missing; tells whether it did."""
    url = make_url(sqlalchemy_url)
    engine = create_engine(url.set(database="postgres"), isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            exists = connection.execute(
                text("SELECT 1 FROM pg_database WHERE datname = :name"), {"name": url.database}
            ).scalar()
            if not exists:
                quoted = engine.dialect.identifier_preparer.quote(str(url.database))
                connection.execute(text(f"CREATE DATABASE {quoted}"))
            return not exists
    finally:
        engine.dispose()


def _migrate(engine: Engine, configuration: Config, to: str) -> None:
    with engine.connect() as connection:
        connection.execute(text(f"SET lock_timeout = {_LOCK_TIMEOUT_MS}"))
        connection.commit()
        configuration.attributes["connection"] = connection
        command.upgrade(configuration, to)


@contextmanager
def _alone(engine: Engine) -> Iterator[None]:
    """Hold the lock of migrations on a connection of its own.

    It is asked for again and again instead of waited for: a statement that waits is a transaction
    that an index which is built beside the fleet's work would wait for in turn.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        ends_at = time.monotonic() + _PATIENCE_SECONDS
        while not connection.execute(text(f"SELECT pg_try_advisory_lock({_LOCK})")).scalar():
            if time.monotonic() > ends_at:
                raise Unavailable("Another upgrade is at work: wait for its end, then try again.")
            time.sleep(0.1)
        try:
            yield
        finally:
            connection.execute(text(f"SELECT pg_advisory_unlock({_LOCK})"))


def _until_free(migrate: Callable[[], None]) -> None:
    ends_at = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return migrate()
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) not in (_LOCK_NOT_AVAILABLE, _DEADLOCK):
                raise
            if time.monotonic() > ends_at:
                raise Unavailable(
                    "A table that a migration changes stayed locked: look for a long transaction "
                    "in pg_stat_activity, end it, then run `fleetctl db upgrade` again."
                ) from error
        time.sleep(random.uniform(0.2, 1.0))  # noqa: S311 - no secret


def _configuration(folder: Path) -> Config:
    configuration = Config()
    configuration.set_main_option("script_location", str(folder).replace("%", "%%"))
    return configuration


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()
