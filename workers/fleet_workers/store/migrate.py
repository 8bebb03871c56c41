"""Brings the store's tables to the version that this code needs."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import make_url

_LOCK = 7_461_202_611  # any number that only migrations use: one upgrade at a time


def upgrade(sqlalchemy_url: str) -> str:
    """Apply every missing migration and return the version reached. Two at once are safe."""
    engine = create_engine(sqlalchemy_url)
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            configuration = _configuration()
            configuration.attributes["connection"] = connection
            command.upgrade(configuration, "head")
            return _current(connection) or "none"
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


def _configuration() -> Config:
    configuration = Config()
    configuration.set_main_option(
        "script_location", str(Path(__file__).parent / "migrations").replace("%", "%%")
    )
    return configuration


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()
