"""A Redis of the tests' own, which they kill, stall and empty."""

import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from fleet_workers.embedded.servers.valkey import _installed_program
from fleet_workers.resilience.redis_link import RedisLink, open_link


class RedisServer:
    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self._port = listener.getsockname()[1]
        self._folder = folder
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = str(_installed_program())
        options = ("--port", str(self._port), "--bind", "127.0.0.1", "--save", "")
        self._process = subprocess.Popen(
            (program, *options), cwd=self._folder, stdout=subprocess.DEVNULL
        )
        for _ in range(200):
            try:
                with redis.Redis.from_url(self.url) as client:
                    client.ping()
            except redis.RedisError:
                time.sleep(0.02)
            else:
                return
        pytest.fail("Valkey did not start.")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stall(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def flush(self) -> None:
        with redis.Redis.from_url(self.url) as client:
            client.flushall()
            client.script_flush()

    def commands(self) -> int:
        """Commands that it has carried out."""
        with redis.Redis.from_url(self.url) as client:
            return int(client.info("stats")["total_commands_processed"])


@pytest.fixture(scope="session")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.kill()


@pytest.fixture
def server(_server: RedisServer) -> RedisServer:
    if _server._process is None:
        _server.start()
    _server.go_on()
    _server.flush()
    return _server


@pytest.fixture
def link(server: RedisServer) -> Iterator[RedisLink]:
    link = open_link(server.url)
    yield link
    link.close()
