"""Opens the sandbox's SQLite file: many readers, one writer at a time, every commit durable."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import Connection as DriverConnection
from threading import Lock
from typing import Any, Final

from sqlalchemy import Connection, create_engine, event, func, select

from fleet_contracts.errors import ConfigurationError
from fleet_workers.embedded.business import tables
from fleet_workers.embedded.business.seed import write_seed

_FORMAT: Final = 1
"""Raised when tables or seed change; a file of another format is refused, not misread."""

_MOST_CONNECTIONS: Final = 64
"""More than the server has threads (40), so that no request waits for a connection."""


class BusinessDatabase:
    """The open database. Create and seed it by opening; `close` it before the process ends.

    A commit is on the disk when it returns (WAL, synchronous=FULL). Readers see a snapshot and
    wait for nobody.

    Raises:
        ConfigurationError: The file was made by another version of the sandbox.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._engine = create_engine(
            f"sqlite:///{path}", pool_size=_MOST_CONNECTIONS, connect_args={"timeout": 30}
        )
        event.listen(self._engine, "connect", _prepare)
        event.listen(self._engine, "begin", _begin)
        self._writer = Lock()
        try:
            self._create(path)
        except BaseException:
            self._engine.dispose()
            raise

    def close(self) -> None:
        """Close all connections; none may be in use."""
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection whose reads all see the same moment."""
        with self._engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give the only connection that may write; commit at the end, roll back on an error.

        The lock makes writers of this process wait in line, where SQLite would have them poll;
        writers of other processes are kept apart by BEGIN IMMEDIATE.
        """
        with self._writer, self._engine.connect() as connection:
            writer = connection.execution_options(writes=True)
            with writer.begin():
                yield writer

    def _create(self, path: Path) -> None:
        with self.writing() as connection:
            found = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
            if found not in {0, _FORMAT}:
                raise ConfigurationError(
                    f"{path} was made by another version of the sandbox business: delete it, "
                    "it is filled again at the next start."
                )
            if found == 0:
                tables.metadata.create_all(connection)
                write_seed(connection)
                connection.exec_driver_sql(f"PRAGMA user_version = {_FORMAT}")


def next_id(connection: Connection, table: Any, prefix: str) -> str:
    """Make the id of a new row: numbers from 10001 on, above all seeded ones.

    Rows are never deleted, so that counting them is enough; call it in a writing transaction.
    """
    count = connection.execute(select(func.count()).select_from(table)).scalar_one()
    return f"{prefix}_{10_001 + count}"


def _prepare(connection: DriverConnection, _record: object) -> None:
    # The driver's own transactions begin too late (at the first write): ours begin them.
    connection.isolation_level = None
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
