"""Which version of the tables this code was written for. Light: every process checks it."""

from sqlalchemy import Connection, inspect, text

from fleet_contracts.errors import ConfigurationError

TABLES_VERSION = "0006"
"""The newest migration. A test holds it to the folder of migrations."""


def check_version(connection: Connection) -> None:
    """Make sure that the tables are those that this code was written for.

    Raises:
        ConfigurationError: The store is older or newer than the code.
    """
    current = None
    if inspect(connection).has_table("alembic_version"):
        current = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if current != TABLES_VERSION:
        raise ConfigurationError(
            f"The store is at version {current or 'none'}, this code needs {TABLES_VERSION}: "
            "run `fleetctl db upgrade`."
        )
