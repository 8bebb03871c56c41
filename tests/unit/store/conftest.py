from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from support.databases import temporary_store


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with temporary_store(connections=10) as engine:
        yield engine
