"""Opens the store."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from fleet_contracts.errors import Unavailable

_POOL_WAIT_SECONDS = 20  # a slot waits this long for a connection before its task is retried
_STATEMENT_TIMEOUT_MS = 15_000  # no statement of the fleet takes a second when all is well

_READ_ONLY = "25006"  # read_only_sql_transaction, which SQLAlchemy does not class as operational


def open_engine(
    sqlalchemy_url: str, *, connections: int, application: str, ping: bool = True
) -> Engine:
    """Make a pool of connections; nothing is opened before the first use.

    `application` is the name that PostgreSQL shows for the process in pg_stat_activity. With
    `ping` a connection is tried before each use, so that a restart of the server is not noticed;
    workers do without the round trip, because they repeat what fails.
    """
    return create_engine(
        sqlalchemy_url,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=_POOL_WAIT_SECONDS,
        pool_pre_ping=ping,
        connect_args={
            "connect_timeout": 5,
            "application_name": application,
            "options": f"-c statement_timeout={_STATEMENT_TIMEOUT_MS} -c timezone=UTC",
        },
    )


@contextmanager
def single_statement(engine: Engine) -> Iterator[Connection]:
    """A connection on which each statement is a transaction of its own: one round trip.

    Raises:
        Unavailable: As `store_errors`.
    """
    with (
        store_errors(),
        engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
    ):
        yield connection


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn a lost or crowded store into the fleet's own transient error.

    Raises:
        Unavailable: The server is away, restarting, full or read-only: the same call may succeed
            once it is well.
    """
    try:
        yield
    except PoolTimeout as error:
        raise Unavailable(f"No free connection to the store: {error}.") from error
    except OperationalError as error:
        raise Unavailable(f"The store did not take this: {error.orig}") from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise Unavailable(f"The connection to the store was lost: {error.orig}") from error
        if getattr(error.orig, "sqlstate", None) == _READ_ONLY:
            raise Unavailable(
                "The store is read-only: it is a standby, or was made so. Point FLEET_STORE_URL at "
                "the primary, or make it writable."
            ) from error
        raise
