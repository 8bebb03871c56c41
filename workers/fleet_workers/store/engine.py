"""Opens the store."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from fleet_contracts.errors import Unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a connection, a free one of the pool, and a statement are waited for."""

    connect_seconds: int = 5
    pool_seconds: float = 20  # a slot waits this long before its task is retried
    statement_ms: int = 15_000  # no statement of the fleet takes a second when all is well


SHORT_PATIENCE = Patience(connect_seconds=2, pool_seconds=0.5, statement_ms=500)
"""For what a task does without where the store is slow."""

_PATIENCE = Patience()
# A host that loses its power says goodbye to nobody. Both sides ask then, and give up after 25 s;
# on a socket of this machine these mean nothing.
_KEEPALIVES = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
_READ_ONLY = "25006"  # read_only_sql_transaction, which SQLAlchemy does not class as operational


def open_engine(
    sqlalchemy_url: str,
    *,
    connections: int,
    application: str,
    ping: bool = True,
    patience: Patience = _PATIENCE,
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
        pool_timeout=patience.pool_seconds,
        pool_pre_ping=ping,
        connect_args={
            "connect_timeout": patience.connect_seconds,
            "application_name": application,
            **_KEEPALIVES,
            "options": " ".join(
                (
                    f"-c statement_timeout={patience.statement_ms} -c timezone=UTC",
                    *(f"-c tcp_{name}={value}" for name, value in _KEEPALIVES.items()),
                )
            ),
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
