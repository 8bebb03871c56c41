"""Reads the counts that the metrics and the console's first page show."""

from fleet_workers.store import dead_letters, outbox, reviews, views
from fleet_workers.telemetry.metrics import StoreFigures
from fleet_workers.web.resources import WebResources


def read_figures(resources: WebResources, *, tenant: str | None = None) -> StoreFigures:
    """Counts of one tenant, or of all. The outbox is always counted whole.

    Raises:
        Unavailable: The store is away.
    """
    with resources.transaction() as connection:
        return StoreFigures(
            tasks=views.count_by_state(connection, tenant=tenant),
            reviews_waiting=reviews.count_waiting(connection, tenant=tenant),
            dead_letters=dead_letters.count_unsettled(connection, tenant=tenant),
            outbox_waiting=outbox.count_waiting(connection),
        )
