from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from fleet_workers.store.engine import open_engine
from support.databases import temporary_database
from unit.controller.gated import GatedWorld, gated_world


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with temporary_database() as url:
        engine = open_engine(url, connections=10, application="tests")
        yield engine
        engine.dispose()


@pytest.fixture
def world(engine: Engine) -> Iterator[GatedWorld]:
    with gated_world(engine) as world:
        yield world
