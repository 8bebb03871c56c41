"""Every metric of the fleet as a row of the table in the documents."""

from collections.abc import Iterator

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import Metric
from prometheus_client.metrics import MetricWrapperBase

from fleet_workers.telemetry import meters, retention_meters
from fleet_workers.telemetry.metrics import StoreCollector, StoreFigures
from fleet_workers.telemetry.model_metrics import ModelFigures
from fleet_workers.telemetry.store_gauges import STORE_GAUGES

_KINDS = {Counter: "counter", Gauge: "gauge", Histogram: "histogram"}


def fleet_rows() -> list[str]:
    """What each web process tells of the whole fleet."""
    return [_row(*each) for each in sorted(_told_by_web())]


def process_rows() -> list[str]:
    """What each process tells of itself."""
    found = {
        id(each): each
        for module in (meters, retention_meters)
        for each in vars(module).values()
        if isinstance(each, MetricWrapperBase)
    }
    return sorted(_own_row(each) for each in found.values())


def _told_by_web() -> Iterator[tuple[str, str, tuple[str, ...], str]]:
    for name, gauge in STORE_GAUGES.items():
        kind = "counter" if name.endswith("_total") else "gauge"
        yield f"fleet_{name}", kind, gauge.labels, gauge.words
    model = dict.fromkeys(ModelFigures.__dataclass_fields__, 0.0)
    words = dict.fromkeys(("agent", "model", "tier", "source"), "x")
    figures = StoreFigures(
        models=[ModelFigures(**{**model, **words})],  # type: ignore[arg-type]  # by name
        unserved_models=["x"],
        broker_up=True,
        redis_up=True,
    )
    for family in StoreCollector(lambda: figures).collect():
        yield family.name, family.type, _labels(family), family.documentation


def _labels(family: Metric) -> tuple[str, ...]:
    return tuple(family.samples[0].labels) if family.samples else ()


def _own_row(meter: MetricWrapperBase) -> str:
    family = next(iter(meter.collect()))
    kind = _KINDS[type(meter)]
    name = f"{family.name}_total" if kind == "counter" else family.name
    labels = tuple(meter._labelnames)
    return _row(name, kind, labels, family.documentation)


def _row(name: str, kind: str, labels: tuple[str, ...], words: str) -> str:
    return f"| `{name}` | {kind} | {', '.join(labels)} | {words} |"
