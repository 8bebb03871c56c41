from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from support.databases import empty_tables, temporary_store


@pytest.fixture(scope="module")
def _running() -> Iterator[Engine]:
    with temporary_store(connections=10) as engine:
        yield engine


@pytest.fixture
def engine(_running: Engine) -> Engine:
    with _running.begin() as connection:
        empty_tables(connection)
    return _running
