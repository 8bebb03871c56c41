"""A store for each file, and a fleet on it whose business and model are made up."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from fleet_workers.store.engine import open_engine
from support.databases import temporary_database
from unit.machine.ground import World
from unit.machine.process import struck_core


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with temporary_database() as url:
        engine = open_engine(url, connections=10, application="tests")
        yield engine
        engine.dispose()


@pytest.fixture
def world(engine: Engine) -> Iterator[World]:
    with struck_core():
        world = World(engine)
        yield world
        world.close()
