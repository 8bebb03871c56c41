"""The servers that a chaos run has to itself, and what it may do to them."""

import contextlib
import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest
import redis

from chaos.rabbitmq_node import NAME as RABBITMQ
from chaos.rabbitmq_node import RabbitNode, rabbit_node, rabbitmq_program
from fleet_workers.embedded.servers.session import RunningServers
from fleet_workers.store.accounts import add_key, add_tenant
from fleet_workers.store.engine import open_engine
from fleet_workers.store.migrate import create_database, upgrade
from support.embedded_stack import temporary_servers
from support.stacks import TENANTS, Stack

_CONNECTIONS = 6
_BACK_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """A stack on servers of its own. `rabbit` is None where Valkey is the broker."""

    stack: Stack
    servers: RunningServers
    rabbit: RabbitNode | None

    def restart_store(self, how: signal.Signals) -> None:
        """End PostgreSQL: SIGINT as an operator does, SIGKILL as a crash does."""
        self._end("postgres", how)

    def restart_broker(self) -> None:
        """Stop the broker and start it again: RabbitMQ is away for some five seconds."""
        if self.rabbit is not None:
            self._end(RABBITMQ, signal.SIGTERM)
        else:
            self._end("valkey", signal.SIGTERM)

    def restart_sessions(self) -> None:
        """Flush the sessions' Valkey and kill it."""
        with redis.Redis.from_url(self.stack.redis_url) as client:
            client.flushdb()
        self._end("valkey", signal.SIGKILL)

    def flush_broker(self) -> None:
        """Lose every message and binding of the broker. For Valkey only."""
        assert self.rabbit is None
        with redis.Redis.from_url(self.stack.broker_url) as client:
            client.flushdb()

    def _end(self, name: str, how: signal.Signals) -> None:
        """End a server; its supervisor starts it again."""
        supervisor = self.rabbit.supervisor if self.rabbit and name == RABBITMQ else None
        pids = (supervisor or self.servers.supervisor).pids
        ended = pids()[name]
        os.kill(ended, how)
        _wait(lambda: pids().get(name) not in {None, ended}, f"{name} to come back")


def _wait(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _BACK_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"Waited {_BACK_SECONDS:g} s for {what}.")
        time.sleep(0.05)


@contextlib.contextmanager
def open_ground(name: str, folder: Path) -> Iterator[Ground]:
    """Start the servers of a stack, `embedded` or `rabbitmq`, with a store that has tables.

    Where RabbitMQ is not installed, its stack is skipped here and fails on CI.
    """
    with contextlib.ExitStack() as opened:
        rabbit = None
        if name == "rabbitmq":
            if (program := rabbitmq_program()) is None:
                _give_up("rabbitmq-server is not installed")
            rabbit = opened.enter_context(rabbit_node(folder / "rabbitmq", program))
        servers = opened.enter_context(temporary_servers())
        store_url = servers.postgres.url(f"fleet_chaos_{secrets.token_hex(6)}")
        sqlalchemy_url = store_url.replace("postgresql://", "postgresql+psycopg://")
        create_database(sqlalchemy_url)
        upgrade(sqlalchemy_url)
        engine = open_engine(sqlalchemy_url, connections=_CONNECTIONS, application="chaos")
        opened.callback(engine.dispose)
        with engine.begin() as connection:
            for tenant in TENANTS:
                add_tenant(connection, tenant)
            key = add_key(connection, tenant="acme", role="operator", label="chaos")
        stack = Stack(
            name=name,
            store_url=store_url,
            broker_url=rabbit.url if rabbit else servers.valkey.url(0),
            redis_url=servers.valkey.url(1),
            engine=engine,
            api_key=key,
        )
        yield Ground(stack=stack, servers=servers, rabbit=rabbit)


def _give_up(reason: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(f"{reason}. On CI the whole stack must be there.")
    pytest.skip(f"{reason}. Install it to run chaos on the RabbitMQ stack, too.")
