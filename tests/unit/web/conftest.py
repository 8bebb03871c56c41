"""One database and one web process for all tests here; each begins with an empty store."""

from collections.abc import Iterator

import pytest

from support.databases import temporary_database
from support.web_server import Site, empty_store, running_site


@pytest.fixture(scope="session")
def _running() -> Iterator[Site]:
    with temporary_database() as url, running_site(url) as site:
        yield site


@pytest.fixture
def site(_running: Site) -> Site:
    empty_store(_running)
    return _running
