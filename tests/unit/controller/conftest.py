from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from support.databases import temporary_store
from unit.controller.gated import GatedWorld, gated_world


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with temporary_store(connections=10) as engine:
        yield engine


@pytest.fixture
def world(engine: Engine) -> Iterator[GatedWorld]:
    with gated_world(engine) as world:
        yield world
