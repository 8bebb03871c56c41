"""The two stacks that the same tests run on: embedded servers, and RabbitMQ with its company."""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
import redis
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import make_url

from fleet_workers.store.accounts import add_key, add_tenant
from fleet_workers.store.engine import open_engine
from fleet_workers.store.migrate import create_database, upgrade
from support.embedded_stack import temporary_servers

TENANTS = ("acme", "globex")
_START_SECONDS = 60.0
_POSTGRES = os.environ.get(
    "FLEET_TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/postgres"
)
_REDIS = os.environ.get("FLEET_TEST_REDIS_URL", "redis://127.0.0.1:6379")
_RABBITMQ = os.environ.get("FLEET_TEST_RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672")


@dataclass(frozen=True, kw_only=True)
class Stack:
    """Servers that answer, a store with tables and two tenants, and a broker without queues."""

    name: str
    store_url: str
    broker_url: str
    redis_url: str
    engine: Engine
    api_key: str

    def environment(self) -> dict[str, str]:
        """What a process of the fleet is told about the servers."""
        return {
            "FLEET_STORE_URL": self.store_url,
            "FLEET_BROKER_URL": self.broker_url,
            "FLEET_REDIS_URL": self.redis_url,
        }


@contextlib.contextmanager
def open_stack(name: str) -> Iterator[Stack]:
    """Open the stack of that name with a store of its own.

    A server that is neither running nor installed skips the test here and fails it on CI.
    """
    with _embedded_urls() if name == "embedded" else _rabbitmq_urls() as urls:
        store_url, broker_url, redis_url = urls
        sqlalchemy_url = store_url.replace("postgresql://", "postgresql+psycopg://")
        create_database(sqlalchemy_url)
        upgrade(sqlalchemy_url)
        engine = open_engine(sqlalchemy_url, connections=4, application="tests")
        try:
            with engine.begin() as connection:
                for tenant in TENANTS:
                    add_tenant(connection, tenant)
                key = add_key(connection, tenant="acme", role="operator", label="tests")
            yield Stack(
                name=name,
                store_url=store_url,
                broker_url=broker_url,
                redis_url=redis_url,
                engine=engine,
                api_key=key,
            )
        finally:
            engine.dispose()


@contextlib.contextmanager
def _embedded_urls() -> Iterator[tuple[str, str, str]]:
    database = f"fleet_test_{secrets.token_hex(6)}"
    with temporary_servers() as servers:
        yield servers.postgres.url(database), servers.valkey.url(0), servers.valkey.url(1)


@contextlib.contextmanager
def _rabbitmq_urls() -> Iterator[tuple[str, str, str]]:
    _need("PostgreSQL", _POSTGRES, "pg_ctlcluster --skip-systemctl-redirect 15 main start")
    _need("Redis", _REDIS, f"redis-server --daemonize yes --save '' --dir {tempfile.gettempdir()}")
    _need("RabbitMQ", _RABBITMQ, "rabbitmq-server -detached")
    with contextlib.ExitStack() as opened:
        store_url = opened.enter_context(_own_database())
        redis_url = opened.enter_context(_own_redis_number())
        broker_url = opened.enter_context(_own_vhost())
        yield store_url, broker_url, redis_url


@contextlib.contextmanager
def _own_database() -> Iterator[str]:
    name = f"fleet_test_{secrets.token_hex(6)}"
    server = make_url(_POSTGRES)
    try:
        yield server.set(database=name).render_as_string(hide_password=False)
    finally:
        engine = create_engine(
            server.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT"
        )
        with engine.connect() as connection:
            connection.execute(text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))
        engine.dispose()


@contextlib.contextmanager
def _own_redis_number() -> Iterator[str]:
    for number in range(15, 0, -1):
        url = f"{_REDIS}/{number}"
        with redis.Redis.from_url(url) as client:
            if client.dbsize() == 0 and client.set("fleet:tests", os.getpid(), nx=True):
                try:
                    yield url
                finally:
                    client.flushdb()
                return
    pytest.fail(f"All numbered databases of {_REDIS} hold data: none is free for the tests.")


@contextlib.contextmanager
def _own_vhost() -> Iterator[str]:
    """A virtual host where `rabbitmqctl` can make one, else the one that the URL names."""
    name = f"fleet_test_{secrets.token_hex(6)}"
    if urlsplit(_RABBITMQ).path.strip("/") or not _rabbitmqctl("add_vhost", name):
        yield _RABBITMQ
        return
    try:
        user = urlsplit(_RABBITMQ).username or "guest"
        assert _rabbitmqctl("set_permissions", "-p", name, user, ".*", ".*", ".*")
        yield f"{_RABBITMQ}/{name}"
    finally:
        _rabbitmqctl("delete_vhost", name)


def _rabbitmqctl(*words: str) -> bool:
    if shutil.which("rabbitmqctl") is None:
        return False
    done = subprocess.run(("rabbitmqctl", *words), capture_output=True, check=False, timeout=60)
    return done.returncode == 0


def _need(name: str, url: str, start: str) -> None:
    """Make sure that a server answers, starting the machine's own where it is not running."""
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
        _rabbitmqctl("await_startup", "--timeout", "60")


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
    pytest.skip(f"{reason}. Install it to run these tests on the RabbitMQ stack, too.")
