"""The two stacks that the same tests run on: embedded servers, and RabbitMQ with its company."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import make_url

from fleet_workers.settings import Settings
from fleet_workers.store.accounts import add_key, add_tenant
from fleet_workers.store.engine import open_engine
from fleet_workers.store.migrate import create_database, upgrade
from support.embedded_stack import temporary_servers
from support.servers import POSTGRES, RABBITMQ, REDIS, need, rabbitmqctl

TENANTS = ("acme", "globex")


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

    def settings(self, **more: Any) -> Settings:
        """The same for parts of the fleet inside this process; `more` are other settings."""
        return Settings(
            store_url=self.store_url, broker_url=self.broker_url, redis_url=self.redis_url, **more
        )


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
    need("PostgreSQL", "Redis", "RabbitMQ")
    with contextlib.ExitStack() as opened:
        store_url = opened.enter_context(_own_database())
        redis_url = opened.enter_context(_own_redis_number())
        broker_url = opened.enter_context(_own_vhost())
        yield store_url, broker_url, redis_url


@contextlib.contextmanager
def _own_database() -> Iterator[str]:
    name = f"fleet_test_{secrets.token_hex(6)}"
    server = make_url(POSTGRES)
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
        url = f"{REDIS}/{number}"
        with redis.Redis.from_url(url) as client:
            if client.dbsize() == 0 and client.set("fleet:tests", os.getpid(), nx=True):
                try:
                    yield url
                finally:
                    client.flushdb()
                return
    pytest.fail(f"All numbered databases of {REDIS} hold data: none is free for the tests.")


@contextlib.contextmanager
def _own_vhost() -> Iterator[str]:
    """A virtual host where `rabbitmqctl` can make one, else the one that the URL names."""
    name = f"fleet_test_{secrets.token_hex(6)}"
    if urlsplit(RABBITMQ).path.strip("/") or not rabbitmqctl("add_vhost", name):
        yield RABBITMQ
        return
    try:
        user = urlsplit(RABBITMQ).username or "guest"
        assert rabbitmqctl("set_permissions", "-p", name, user, ".*", ".*", ".*")
        yield f"{RABBITMQ}/{name}"
    finally:
        rabbitmqctl("delete_vhost", name)
