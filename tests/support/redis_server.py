"""A Redis of the tests' own, which they kill, stall and empty."""

import signal
import subprocess
import time
from pathlib import Path

import pytest
import redis

from fleet_workers.embedded.servers.valkey import _installed_program
from support.ports import free_port


class RedisServer:
    def __init__(self, folder: Path) -> None:
        self._port = free_port()
        self._folder = folder
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        program = str(_installed_program())
        options = ("--port", str(self._port), "--bind", "127.0.0.1", "--save", "")
        self._process = subprocess.Popen(
            (program, *options), cwd=self._folder, stdout=subprocess.DEVNULL
        )
        for _ in range(500):
            assert self.is_running, "Valkey ended while it started."
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

    def configure(self, name: str, value: str) -> None:
        with redis.Redis.from_url(self.url) as client:
            client.config_set(name, value)

    def flush(self) -> None:
        with redis.Redis.from_url(self.url) as client:
            client.flushall()
            client.script_flush()

    def commands(self) -> int:
        """Commands that it has carried out."""
        with redis.Redis.from_url(self.url) as client:
            return int(client.info("stats")["total_commands_processed"])
