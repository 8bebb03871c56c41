"""One database for all tests here; each begins with an empty store, two tenants, one agent."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from support.databases import temporary_store
from support.graveyard import Graveyard


@pytest.fixture(scope="session")
def _engine() -> Iterator[Engine]:
    with temporary_store(connections=10) as engine:
        yield engine


@pytest.fixture
def graveyard(_engine: Engine) -> Graveyard:
    return Graveyard.emptied(_engine)
