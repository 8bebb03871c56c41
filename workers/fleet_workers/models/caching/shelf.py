"""The stored replies, as the cache sees them: a store that is away or slow is left alone."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from fleet_contracts.errors import Unavailable
from fleet_workers.store import plan_cache
from fleet_workers.store.engine import single_statement
from fleet_workers.store.plan_cache import Alike, Entry, Found, Meaning

log = structlog.get_logger(__name__)

_FAILURES = 2  # in a row: after a restart of the server each connection fails once
_LEFT_ALONE_SECONDS = 5.0  # a slot must not wait for the store at each of its questions

T = TypeVar("T")


class Shelf:
    """Reads and writes stored replies; safe to use from every slot.

    Whatever the store says, no task fails by it: None stands for what could not be had. Give it an
    engine of its own with short timeouts.
    """

    def __init__(self, engine: Engine, *, left_alone_seconds: float = _LEFT_ALONE_SECONDS) -> None:
        self._engine = engine
        self._left_alone_seconds = left_alone_seconds
        self._away_until = 0.0
        self._failed = 0

    def find(self, *, tenant: str, agent: str, key: bytes) -> Found | None:
        """What there is for an exact key."""
        return self._try(lambda: plan_cache.find(self._engine, tenant=tenant, agent=agent, key=key))

    def find_alike(self, *, tenant: str, meaning: Meaning, data_version: int) -> list[Alike]:
        """The newest entries that passed the same guards; none where they cannot be had."""

        def read() -> list[Alike]:
            with single_statement(self._engine) as connection:
                return plan_cache.find_alike(
                    connection, tenant=tenant, meaning=meaning, data_version=data_version
                )

        return self._try(read) or []

    def read_reply(self, *, tenant: str, key: bytes) -> Any:
        """The reply of an entry that was just found."""

        def read() -> Any:
            with single_statement(self._engine) as connection:
                return plan_cache.read_reply(connection, tenant=tenant, key=key)

        return self._try(read)

    def keep(self, entry: Entry) -> None:
        """Store a reply."""

        def write() -> None:
            with single_statement(self._engine) as connection:
                plan_cache.put(connection, entry)

        self._try(write)

    def drop(self, *, tenant: str, key: bytes) -> None:
        """Delete an entry that cannot be read."""

        def write() -> None:
            with single_statement(self._engine) as connection:
                plan_cache.drop(connection, tenant=tenant, key=key)

        self._try(write)

    def _try(self, work: Callable[[], T]) -> T | None:
        if time.monotonic() < self._away_until:
            return None
        try:
            found = work()
        except Unavailable as error:
            self._failed += 1
            if self._failed >= _FAILURES:
                self._away_until = time.monotonic() + self._left_alone_seconds
            log.warning("cache.store_unavailable", error=str(error))
        except SQLAlchemyError as error:
            log.warning("cache.store_refuses", error=str(error))
        else:
            self._failed = 0
            return found
        return None
