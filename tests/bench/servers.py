"""Whether the servers keep what they confirm, and how long one commit takes them."""

import os
import time
from collections.abc import Iterator

from sqlalchemy import Engine, text

from bench.figures import Remark, Said, spread
from support.stacks import Stack, open_stack

_COMMITS = 300


def describe_servers() -> Iterator[Said]:
    """What the figures that follow were measured on."""
    with open_stack("rabbitmq") as stack:
        yield Remark(text=f"processors: {os.cpu_count()}")
        yield Remark(text=f"PostgreSQL {setting(stack.engine, 'server_version')}")
        yield from require_durability(stack.engine)
        yield from spread("servers.commit_of_one_row", _commit_seconds(stack), 0.5, 0.99)


def require_durability(engine: Engine) -> Iterator[Remark]:
    """Say what PostgreSQL promises.

    Raises:
        ValueError: It may lose commits: figures would not be those of a durable fleet.
    """
    for name in ("fsync", "synchronous_commit"):
        value = setting(engine, name)
        yield Remark(text=f"PostgreSQL {name}: {value}")
        if value != "on":
            raise ValueError(f"PostgreSQL runs with {name} = {value}: set it to on and run again.")


def setting(engine: Engine, name: str) -> str:
    """A setting of the server."""
    with engine.begin() as connection:
        return str(connection.execute(text(f"SHOW {name}")).scalar_one())


def _commit_seconds(stack: Stack) -> list[float]:
    seconds = []
    with stack.engine.connect() as connection:
        connection.execute(text("CREATE TABLE bench_commits (value text)"))
        connection.commit()
        for each in range(_COMMITS):
            begun = time.perf_counter()
            connection.execute(
                text("INSERT INTO bench_commits VALUES (:value)"), {"value": str(each)}
            )
            connection.commit()
            seconds.append(time.perf_counter() - begun)
    return seconds
