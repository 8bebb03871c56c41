"""Seals the audit trail, and tells the log where its chain ends."""

import time
from datetime import timedelta

import structlog
from sqlalchemy import Engine

from fleet_workers.store import audit_chain
from fleet_workers.store.audit_chain import Head
from fleet_workers.store.engine import store_errors

log = structlog.get_logger()

_BATCH = 2000  # 0.1 s: then the janitor's other chores have their turn
_HEAD_EVERY = timedelta(minutes=1)


class AuditSealer:
    """Puts what was written into the chain; used by one thread. Any number may be at work."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._logged: Head | None = None
        self._log_at = 0.0

    def seal(self) -> int:
        """Seal one batch; gives the number of entries, or 0 where fewer than a batch waited.

        The head is logged every minute in which it moved: so it stands outside the store, and
        `fleetctl audit verify --head` finds what was cut off or made anew.

        Raises:
            Unavailable: The store is away.
        """
        with store_errors(), self._engine.begin() as connection:
            sealed = audit_chain.seal(connection, limit=_BATCH)
        if time.monotonic() >= self._log_at:
            self._log_head()
        return sealed if sealed == _BATCH else 0

    def _log_head(self) -> None:
        self._log_at = time.monotonic() + _HEAD_EVERY.total_seconds()
        with store_errors(), self._engine.connect() as connection:
            found = audit_chain.head(connection)
        if found != self._logged:
            log.info("audit.head", head=str(found))
            self._logged = found
