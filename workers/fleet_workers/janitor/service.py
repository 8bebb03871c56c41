"""The janitor process: sweeps again and again until it is told to stop."""

from collections.abc import Callable
from datetime import timedelta
from threading import Event

import structlog

from fleet_contracts.errors import Unavailable

log = structlog.get_logger()


def run_janitor(sweep: Callable[[], int], *, every: timedelta, stopped: Event) -> None:
    """Sweep every so often; at once again while there is much to do. Outlives store outages."""
    while not stopped.is_set():
        try:
            touched = sweep()
        except Unavailable as error:
            log.warning("janitor.store_unavailable", error=str(error))
            touched = 0
        except Exception:
            log.exception("janitor.failed")
            touched = 0
        if not touched:
            stopped.wait(every.total_seconds())
