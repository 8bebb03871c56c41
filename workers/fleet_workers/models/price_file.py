"""Follows a price file while a process runs, so that a change of prices needs no restart."""

import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from threading import Lock
from typing import Final

import structlog

from fleet_contracts.errors import ConfigurationError
from fleet_workers.models.prices import SHIPPED, Prices, load_prices

LOOK_SECONDS: Final = 5.0
"""How old a look at the file may be."""

log = structlog.get_logger(__name__)


class PriceFile:
    """The prices of a file as it stands now; safe to use from every slot.

    A file that has become wrong, or is gone, is logged and the last good prices count.
    """

    def __init__(
        self,
        path: Path | None,
        *,
        look_seconds: float = LOOK_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises ConfigurationError where the file is wrong to begin with."""
        self._path = path
        self._look_seconds = look_seconds
        self._clock = clock
        self._lock = Lock()
        self._stamp = self._read_stamp()
        self._prices = load_prices(path)
        self._look_at = clock() + look_seconds

    def now(self) -> Prices:
        """The prices that count now."""
        if self._clock() >= self._look_at and self._lock.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._lock.release()
        return self._prices

    def cost_usd(
        self,
        model: str,
        *,
        input_tokens: int,
        output_tokens: int,
        cached_tokens: int = 0,
        in_batch: bool = False,
    ) -> Decimal | None:
        """As `PriceList`."""
        return self.now().cost_usd(
            model,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cached_tokens=cached_tokens,
            in_batch=in_batch,
        )

    def is_free(self, model: str) -> bool | None:
        """As `PriceList`."""
        return self.now().is_free(model)

    def _look(self) -> None:
        self._look_at = self._clock() + self._look_seconds
        stamp = self._read_stamp()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._prices = load_prices(self._path)
        except ConfigurationError as error:
            log.warning("prices.not_reloaded", error=str(error))
        else:
            log.info("prices.reloaded", as_of=str(self._prices.as_of))

    def _read_stamp(self) -> tuple[int, int, int] | None:
        try:
            found = (self._path or SHIPPED).stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
