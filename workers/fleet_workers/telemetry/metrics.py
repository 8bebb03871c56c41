"""Every metric of the fleet, with unit and labels."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from fleet_contracts.errors import FleetError


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreFigures:
    """Counts of rows in the store. `tasks` is keyed by agent and state."""

    tasks: Mapping[tuple[str, str], int]
    reviews_waiting: int
    dead_letters: int
    outbox_waiting: int


class StoreCollector(Collector):
    """Reads the store's figures at every scrape.

    `read` may raise a FleetError: the scrape then shows `fleet_store_up 0` and nothing else.
    """

    def __init__(self, read: Callable[[], StoreFigures]) -> None:
        self._read = read

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Give the figures as gauges."""
        up = GaugeMetricFamily("fleet_store_up", "1 where the store answers, else 0.")
        try:
            figures = self._read()
        except FleetError:
            up.add_metric([], 0)
            return [up]
        up.add_metric([], 1)
        tasks = GaugeMetricFamily(
            "fleet_tasks", "Tasks in the store, in number.", labels=["agent", "state"]
        )
        for (agent, state), number in sorted(figures.tasks.items()):
            tasks.add_metric([agent, state], number)
        return [
            up,
            tasks,
            GaugeMetricFamily(
                "fleet_reviews_waiting",
                "Items that nobody has decided, in number.",
                value=figures.reviews_waiting,
            ),
            GaugeMetricFamily(
                "fleet_dead_letters",
                "Dead letters neither replayed nor discarded, in number.",
                value=figures.dead_letters,
            ),
            GaugeMetricFamily(
                "fleet_outbox_waiting",
                "Messages that the broker has not confirmed yet, in number.",
                value=figures.outbox_waiting,
            ),
        ]

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Name nothing in advance, so that registering does not read the store."""
        return []
