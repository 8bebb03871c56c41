"""Gives Prometheus what was last read from the store, or tells that the store is away."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from fleet_contracts.errors import FleetError
from fleet_workers.telemetry.model_metrics import ModelFigures, model_metrics
from fleet_workers.telemetry.store_gauges import Samples, gauge_families

_UP: Final = {
    "store": "1 where PostgreSQL answers, else 0.",
    "broker": "1 where the broker tells about its queues, else 0.",
    "redis": "1 where Redis answers, else 0.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreFigures:
    """What a scrape tells. `samples` is keyed by the names of `STORE_GAUGES`.

    `models` and `unserved_models` as in `model_metrics`. `broker_up` and `redis_up` are None where
    nobody asked.
    """

    samples: Mapping[str, Samples] = field(default_factory=dict)
    models: Sequence[ModelFigures] = ()
    unserved_models: Sequence[str] = ()
    broker_up: bool | None = None
    redis_up: bool | None = None


class StoreCollector(Collector):
    """Asks for the figures at every scrape.

    `read` may raise a FleetError: the scrape then shows `fleet_store_up 0` and nothing else.
    """

    def __init__(self, read: Callable[[], StoreFigures]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        """Give the figures."""
        try:
            figures = self._read()
        except FleetError:
            return [_up("store", False)]
        return [
            _up("store", True),
            *(
                _up(name, answers)
                for name, answers in (("broker", figures.broker_up), ("redis", figures.redis_up))
                if answers is not None
            ),
            *gauge_families(figures.samples),
            *model_metrics(figures.models, figures.unserved_models),
        ]

    def describe(self) -> Iterable[Metric]:
        """Name nothing in advance, so that registering does not read the store."""
        return []


def _up(name: str, answers: bool) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"fleet_{name}_up", _UP[name], value=float(answers))
