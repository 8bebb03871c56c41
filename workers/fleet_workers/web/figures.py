"""Reads the counts that the console's first page shows."""

from collections.abc import Mapping
from dataclasses import dataclass

from fleet_workers.store import dead_letters, outbox, reviews, views
from fleet_workers.web.resources import WebResources


@dataclass(frozen=True, slots=True, kw_only=True)
class OverviewFigures:
    """Counts of rows in the store. `tasks` is keyed by agent and state, as in `count_by_state`."""

    tasks: Mapping[tuple[str, str], int]
    reviews_waiting: int
    dead_letters: int
    outbox_waiting: int


def read_figures(resources: WebResources, *, tenant: str | None = None) -> OverviewFigures:
    """Counts of one tenant, or of all. The outbox is always counted whole.

    Raises:
        Unavailable: The store is away.
    """
    with resources.transaction() as connection:
        return OverviewFigures(
            tasks=views.count_by_state(connection, tenant=tenant),
            reviews_waiting=reviews.count_waiting(connection, tenant=tenant),
            dead_letters=dead_letters.count_unsettled(connection, tenant=tenant),
            outbox_waiting=outbox.count_waiting(connection),
        )
