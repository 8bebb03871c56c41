"""PostgreSQL, Redis and RabbitMQ of this machine, started where a test needs one that is down."""

import fcntl
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

POSTGRES = os.environ.get(
    "FLEET_TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/postgres"
)
REDIS = os.environ.get("FLEET_TEST_REDIS_URL", "redis://127.0.0.1:6379")
RABBITMQ = os.environ.get("FLEET_TEST_RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672")
_STARTS = {
    "PostgreSQL": (POSTGRES, "pg_ctlcluster --skip-systemctl-redirect 15 main start"),
    "Redis": (REDIS, f"redis-server --daemonize yes --save '' --dir {tempfile.gettempdir()}"),
    "RabbitMQ": (RABBITMQ, "rabbitmq-server -detached"),
}
_START_SECONDS = 60.0
_LOCK = Path(tempfile.gettempdir()) / f"fleet-tests-{os.getuid()}.lock"


def need(*names: str) -> None:
    """Make sure that servers answer: "PostgreSQL", "Redis", "RabbitMQ".

    A server that is neither running nor installed skips the test here and fails it on CI.
    """
    for name in names:
        url, start = _STARTS[name]
        if not _answers(url):
            # Of the processes that share the tests out among them, one starts it.
            with _LOCK.open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                _start(name, url, start)


def rabbitmqctl(*words: str) -> bool:
    """Run a command of RabbitMQ's own; tells whether it could be carried out."""
    if shutil.which("rabbitmqctl") is None:
        return False
    done = subprocess.run(("rabbitmqctl", *words), capture_output=True, check=False, timeout=60)
    return done.returncode == 0


def _start(name: str, url: str, start: str) -> None:
    if _answers(url):
        return
    program = start.split(maxsplit=1)[0]
    if shutil.which(program) is None:
        _give_up(f"{name} does not answer at {urlsplit(url).netloc} and {program} is not installed")
    done = subprocess.run(
        ("/bin/sh", "-c", start), capture_output=True, text=True, check=False, timeout=60
    )
    deadline = time.monotonic() + _START_SECONDS
    while not _answers(url):
        if time.monotonic() > deadline:
            _give_up(f"{name} does not come up after `{start}`: {done.stderr.strip()[-300:]}")
        time.sleep(0.2)
    if name == "RabbitMQ":
        rabbitmqctl("await_startup", "--timeout", "60")


def _answers(url: str) -> bool:
    parts = urlsplit(url)
    try:
        with socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 0), timeout=2):
            return True
    except OSError:
        return False


def _give_up(reason: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(f"{reason}. On CI the whole stack must be there.")
    pytest.skip(f"{reason}. Install it to run these tests, too.")
