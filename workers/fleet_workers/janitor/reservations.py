"""Closes what stays reserved for tasks that have ended."""

from datetime import timedelta
from typing import Final

import structlog
from sqlalchemy import Engine

from fleet_workers.store.engine import store_errors
from fleet_workers.store.open_reservations import close_left_open

SETTLED_WITHIN: Final = timedelta(hours=1)
"""A worker whose task was cancelled meanwhile settles its last call itself, once that is over."""

_BATCH = 200  # rows a round: short transactions
log = structlog.get_logger()


def close_reservations(engine: Engine) -> int:
    """Close some; gives how many, so that the chore comes again at once while there are more.

    Raises:
        Unavailable: The store is away.
    """
    with store_errors(), engine.begin() as connection:
        closed = close_left_open(connection, older_than=SETTLED_WITHIN, limit=_BATCH)
    if closed:
        log.info("janitor.reservations_closed", calls=closed)
    return closed
