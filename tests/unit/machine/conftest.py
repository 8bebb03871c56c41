from collections.abc import Iterator

import pytest
import structlog
from sqlalchemy import Engine

from fleet_workers.store.engine import open_engine
from support.databases import temporary_database
from unit.machine.process import struck_core


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with temporary_database() as url:
        engine = open_engine(url, connections=10, application="tests")
        yield engine
        engine.dispose()


@pytest.fixture(autouse=True)
def _core() -> Iterator[None]:
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    with struck_core():
        yield
    structlog.configure(**before)
