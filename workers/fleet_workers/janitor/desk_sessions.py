"""Deletes the sessions of people that have ended by time."""

from datetime import timedelta

from sqlalchemy import Engine

from fleet_workers.store import desk_sessions
from fleet_workers.store.engine import store_errors


def delete_ended_sessions(engine: Engine, *, idle: timedelta) -> int:
    """Delete them all; gives 0, for none is left. `idle` is how long a session lasts unused.

    Raises:
        Unavailable: The store is away.
    """
    with store_errors(), engine.begin() as connection:
        desk_sessions.delete_expired(connection, idle=idle)
    return 0
