"""A store for each file, and a fleet on it whose business and model are made up."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from support.databases import temporary_store
from unit.machine.ground import World
from unit.machine.process import struck_core


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with temporary_store(connections=10) as engine:
        yield engine


@pytest.fixture
def world(engine: Engine) -> Iterator[World]:
    with struck_core():
        world = World(engine)
        yield world
        world.close()
