"""Deletes stored replies of models that are too old, and those a tenant has too many of."""

from sqlalchemy import Engine

from fleet_workers.store import plan_cache
from fleet_workers.store.engine import store_errors


def tidy_plan_cache(engine: Engine, *, most_per_tenant: int) -> int:
    """Delete some, the oldest first; gives how many, 0 where none is left to delete.

    Raises:
        Unavailable: The store is away.
    """
    with store_errors(), engine.begin() as connection:
        gone = plan_cache.delete_expired(connection)
    with store_errors(), engine.begin() as connection:
        return gone + plan_cache.delete_beyond(connection, most=most_per_tenant)
