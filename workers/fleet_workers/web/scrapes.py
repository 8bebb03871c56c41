"""What `/metrics` tells of the whole fleet, read by a thread of its own: a scrape never hangs."""

import time
from collections.abc import Mapping, Sequence
from threading import Event, Lock, Thread
from typing import Final

import structlog

from fleet_contracts.envelope import AUTO_AGENT
from fleet_contracts.errors import FleetError, Unavailable
from fleet_workers.resilience.redis_link import RedisAway
from fleet_workers.store.model_use import used_today
from fleet_workers.telemetry.metrics import StoreFigures
from fleet_workers.telemetry.model_metrics import ModelFigures
from fleet_workers.telemetry.store_gauges import Samples
from fleet_workers.web.metrics_figures import breaker_samples, read_lately, read_now
from fleet_workers.web.resources import WebResources

log = structlog.get_logger(__name__)

_LATELY_SECONDS: Final = 60.0
_PATIENCE_SECONDS: Final = 3.0  # Prometheus gives up after 10 s, and then has no figure at all


class Scrapes:
    """Reads figures for whoever scrapes; those that ask at once share one look.

    What is counted over days is read once a minute at most. While the store is away, or answers
    too late, nothing is told that may be old.
    """

    def __init__(
        self, resources: WebResources, *, patience_seconds: float = _PATIENCE_SECONDS
    ) -> None:
        self._resources = resources
        self._patience_seconds = patience_seconds
        self._lock = Lock()
        self._looking: Event | None = None
        self._found: StoreFigures | FleetError = Unavailable("The store was not looked at yet.")
        self._lately: Mapping[str, Samples] = {}
        self._lately_at = float("-inf")

    def read(self) -> StoreFigures:
        """The figures of now.

        Raises:
            Unavailable: The store is away, or does not answer in time.
        """
        with self._lock:
            looking = self._looking
            if looking is None:
                looking = self._looking = Event()
                Thread(target=self._look, args=(looking,), name="scrape", daemon=True).start()
        if not looking.wait(self._patience_seconds):
            raise Unavailable("The store does not answer in time.")
        with self._lock:
            return self._told()

    def _told(self) -> StoreFigures:
        if isinstance(self._found, FleetError):
            raise self._found
        return self._found

    def _look(self, looking: Event) -> None:
        found: StoreFigures | FleetError
        try:
            found = self._read()
        except FleetError as error:
            log.warning("web.figures_unavailable", error=str(error))
            found = error
        except Exception as error:
            log.exception("web.figures_broke")
            found = Unavailable(f"The figures cannot be read: {type(error).__name__}.")
        with self._lock:
            self._found, self._looking = found, None
        looking.set()

    def _read(self) -> StoreFigures:
        resources = self._resources
        with resources.transaction() as connection:
            now = read_now(connection, resources.catalogue.names)
            models = [ModelFigures(**each) for each in used_today(connection)]
        if time.monotonic() - self._lately_at >= _LATELY_SECONDS:
            with resources.transaction() as connection:
                self._lately = read_lately(connection, resources.catalogue, resources.minutes_saved)
            self._lately_at = time.monotonic()
        messages = self._messages()
        breakers, redis_up = self._breakers()
        return StoreFigures(
            samples={**now, **self._lately, **(messages or {}), **breakers},
            models=models,
            unserved_models=self._unserved(),
            broker_up=None if resources.queue_depths is None else messages is not None,
            redis_up=redis_up,
        )

    def _messages(self) -> Mapping[str, Samples] | None:
        """None where the broker does not tell, or nobody asks it."""
        resources = self._resources
        if resources.queue_depths is None:
            return None
        found = resources.queue_depths.look([*resources.catalogue.names, AUTO_AGENT])
        if found is None:
            return None
        samples = [((f"agent.{name}",), float(number)) for name, number in sorted(found.items())]
        return {"broker_messages": samples}

    def _breakers(self) -> tuple[Mapping[str, Samples], bool | None]:
        if self._resources.read_breakers is None:
            return {}, None
        try:
            return {"breaker_open": breaker_samples(self._resources.read_breakers())}, True
        except RedisAway:
            return {}, False

    def _unserved(self) -> Sequence[str]:
        if self._resources.read_unserved is None:
            return ()
        try:
            return self._resources.read_unserved()
        except RedisAway:
            return ()
