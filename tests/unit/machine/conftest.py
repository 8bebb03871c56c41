from collections.abc import Iterator

import pytest
import structlog
from sqlalchemy import Engine

from support.databases import temporary_store
from unit.machine.process import struck_core


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with temporary_store(connections=10) as engine:
        yield engine


@pytest.fixture(autouse=True)
def _core() -> Iterator[None]:
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    with struck_core():
        yield
    structlog.configure(**before)
