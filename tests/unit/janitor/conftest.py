from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from fleet_workers.store.engine import open_engine
from support.databases import empty_tables, temporary_database


@pytest.fixture(scope="module")
def _running() -> Iterator[Engine]:
    with temporary_database() as url:
        engine = open_engine(url, connections=10, application="tests")
        yield engine
        engine.dispose()


@pytest.fixture
def engine(_running: Engine) -> Engine:
    with _running.begin() as connection:
        empty_tables(connection)
    return _running
