"""What a janitor counts of what it deletes by policy and erases on request."""

from typing import Final

from prometheus_client import Counter, Gauge

from fleet_workers.telemetry.meters import REGISTRY

ROWS_DELETED: Final = Counter(
    "fleet_retention_rows_deleted_total",
    "Rows deleted because the policy keeps them no longer, in number.",
    ["table"],
    registry=REGISTRY,
)
CLOCK_REFUSED: Final = Gauge(
    "fleet_retention_clock_refused",
    "1 where nothing is deleted because the store's clock leapt, else 0.",
    registry=REGISTRY,
)
ERASURES_DONE: Final = Counter(
    "fleet_erasures_finished_total",
    "Erasures of customers that were finished, in number.",
    registry=REGISTRY,
)
