"""A Redis of the tests' own, and a link to it."""

from collections.abc import Iterator

import pytest

from fleet_workers.resilience.redis_link import RedisLink, open_link
from support.redis_server import RedisServer


@pytest.fixture(scope="session")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.kill()


@pytest.fixture
def server(_server: RedisServer) -> RedisServer:
    if not _server.is_running:
        _server.start()
    _server.go_on()
    _server.flush()
    return _server


@pytest.fixture
def link(server: RedisServer) -> Iterator[RedisLink]:
    link = open_link(server.url)
    yield link
    link.close()
