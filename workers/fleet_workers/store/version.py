"""Which version of the tables this code was written for. Light: every process checks it."""

from sqlalchemy import Connection, inspect, text

from fleet_contracts.errors import ConfigurationError

TABLES_VERSION = "0013"
"""The newest migration. A test holds it to the folder of migrations."""


def check_version(connection: Connection) -> None:
    """Make sure that this code can work on the tables.

    Newer ones are fine as long as their newest migration says so: during an upgrade old and new
    processes work side by side.

    Raises:
        ConfigurationError: The store is older than the code, or so much newer that the code
            would misread it.
    """
    current = None
    if inspect(connection).has_table("alembic_version"):
        current = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if current is None or current < TABLES_VERSION:
        raise ConfigurationError(
            f"The store is at version {current or 'none'}, this code needs {TABLES_VERSION}: "
            "run `fleetctl db upgrade`."
        )
    if current > TABLES_VERSION and (oldest := _oldest_code(connection)) > TABLES_VERSION:
        raise ConfigurationError(
            f"The store is at version {current}, which code for version {oldest} or later can "
            f"work on; this code was written for {TABLES_VERSION}: start the newer release."
        )


def note_compatibility(connection: Connection, oldest: str) -> None:
    """Record the version that code must at least be written for to work on the tables."""
    if inspect(connection).has_table("compatibility"):
        connection.execute(text("DELETE FROM compatibility"))
        connection.execute(
            text("INSERT INTO compatibility (oldest_code) VALUES (:oldest)"), {"oldest": oldest}
        )


def _oldest_code(connection: Connection) -> str:
    found = connection.execute(text("SELECT max(oldest_code) FROM compatibility")).scalar()
    return str(found or "9999")
