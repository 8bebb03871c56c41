"""One database for all tests here; each begins with an empty store, two tenants, one agent."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from fleet_workers.store.engine import open_engine
from support.databases import temporary_database
from support.graveyard import Graveyard


@pytest.fixture(scope="session")
def _engine() -> Iterator[Engine]:
    with temporary_database() as url:
        engine = open_engine(url, connections=10, application="tests")
        yield engine
        engine.dispose()


@pytest.fixture
def graveyard(_engine: Engine) -> Graveyard:
    return Graveyard.emptied(_engine)
