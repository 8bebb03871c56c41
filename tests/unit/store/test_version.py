"""The version that the code asks for is the newest migration."""

from pathlib import Path

import pytest
from sqlalchemy import create_engine

from fleet_contracts.errors import ConfigurationError
from fleet_workers.store import migrate
from fleet_workers.store.version import TABLES_VERSION, check_version
from support.databases import temporary_database


def test_the_newest_migration_is_what_the_code_asks_for() -> None:
    folder = Path(migrate.__file__).parent / "migrations" / "versions"
    assert max(path.name.split("_")[0] for path in folder.glob("0*.py")) == TABLES_VERSION
    with temporary_database(migrated=False) as url:
        engine = create_engine(url)
        with engine.connect() as connection, pytest.raises(ConfigurationError, match="db upgrade"):
            check_version(connection)
        assert migrate.upgrade(url) == TABLES_VERSION
        with engine.connect() as connection:
            check_version(connection)
        engine.dispose()
