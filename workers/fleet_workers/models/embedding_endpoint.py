"""Embeddings from any OpenAI-compatible endpoint."""

import random
import time
from collections.abc import Sequence
from threading import Lock
from typing import Any, Final

import structlog

from fleet_contracts.errors import (
    BreakerOpen,
    ConfigurationError,
    TimedOut,
    TransientError,
    Unavailable,
)
from fleet_workers.models.answers import as_list, as_object
from fleet_workers.models.endpoint import Address, Endpoint, Refusal
from fleet_workers.models.faults import classed
from fleet_workers.resilience.breakers import Breakers

log = structlog.get_logger(__name__)

PATH: Final = "/embeddings"
MOST_TEXTS: Final = 64
"""Texts of one call: many endpoints take no more, and a lost call loses no more."""

MOST_CHARACTERS: Final = 8000
"""What is looked at of a text: about 2,000 tokens, which every model of today takes."""

_BLIP_WAIT_SECONDS = 0.3
_LONGEST_BLIP_SECONDS = 0.5
_LEAST_SECONDS = 0.05
_MOST_NUMBER = 1e30  # no honest one is near, and the square of a larger one has no room


class EndpointEmbedder:
    """Asks an endpoint's model in calls of at most 64 texts; of a text the begin counts.

    `timeout_seconds` bounds one `embed`, repeats included. A short blip is tried once more: an
    embedding changes nothing and costs next to nothing.
    """

    def __init__(
        self, address: Address, model: str, *, timeout_seconds: float, breakers: Breakers
    ) -> None:
        self._endpoint = Endpoint(address)
        self._model = model
        self._timeout_seconds = timeout_seconds
        self._breakers = breakers
        self._lock = Lock()
        self._dimensions: int | None = None

    @property
    def name(self) -> str:
        """The model and where it is: two endpoints may call different models the same."""
        return f"{self._model} at {self._endpoint.url}"

    def embed(self, texts: Sequence[str]) -> list[Any]:
        """As `Embedder.embed` tells."""
        until = time.monotonic() + self._timeout_seconds
        found: list[Any] = []
        for start in range(0, len(texts), MOST_TEXTS):
            found += self._patiently(texts[start : start + MOST_TEXTS], until)
        return found

    def close(self) -> None:
        """Close all connections."""
        self._endpoint.close()

    def _patiently(self, texts: Sequence[str], until: float) -> list[Any]:
        try:
            return self._guarded(texts, until)
        except TransientError as error:
            wait_seconds = _blip_seconds(error)
            if wait_seconds is None or time.monotonic() + wait_seconds + _LEAST_SECONDS >= until:
                raise
            time.sleep(wait_seconds)
            return self._guarded(texts, until)

    def _guarded(self, texts: Sequence[str], until: float) -> list[Any]:
        return self._breakers.call(f"embeddings {self.name}", lambda: self._ask(texts, until))

    def _ask(self, texts: Sequence[str], until: float) -> list[Any]:
        body = {
            "model": self._model,
            # An empty text is refused by some endpoints.
            "input": [text[:MOST_CHARACTERS] if text.strip() else "-" for text in texts],
        }
        left = max(until - time.monotonic(), _LEAST_SECONDS)
        try:
            told = as_object(self._endpoint.ask(PATH, body, timeout_seconds=left))
        except Refusal as refusal:
            error = classed(refusal, self._model, self._endpoint.url)
            if isinstance(error, ConfigurationError):
                raise ConfigurationError(
                    f"{self._endpoint.url} gives no embeddings of {self._model}: check "
                    "FLEET_EMBEDDING_MODEL, FLEET_EMBEDDING_BASE_URL and FLEET_EMBEDDING_API_KEY. "
                    f"It says: {str(refusal)[:200]}"
                ) from refusal
            raise error from refusal
        vectors = self._read(told, len(texts))
        usage = as_object(told.get("usage"))
        log.debug(
            "embedding.asked",
            model=self._model,
            texts=len(texts),
            tokens=usage.get("total_tokens", usage.get("prompt_tokens")),
        )
        return vectors

    def _read(self, told: Any, expected: int) -> list[Any]:
        import numpy as np  # noqa: PLC0415 paid only by processes that embed

        where = f"{self._model} at {self._endpoint.url}"
        rows = [as_object(each) for each in as_list(told.get("data"))]
        by_place = {str(row.get("index", place)): row for place, row in enumerate(rows)}
        in_order = [by_place.get(str(place)) for place in range(expected)]
        if len(rows) != expected or None in in_order:
            raise Unavailable(f"{where} gave {len(rows)} embeddings for {expected} texts.")
        try:
            numbers = [as_object(row)["embedding"] for row in in_order]
            found = np.array(numbers, dtype=np.float64)
            expected, dimensions = found.shape
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise Unavailable(f"{where} gave an embedding that is no list of numbers.") from error
        found = np.where(np.abs(found) < _MOST_NUMBER, found, np.nan)
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        if not np.isfinite(lengths).all() or not lengths.all():
            raise Unavailable(f"{where} gave an embedding without a length.")
        self._hold_to(dimensions, where)
        return list((found / lengths).astype(np.float32))

    def _hold_to(self, dimensions: int, where: str) -> None:
        with self._lock:
            if self._dimensions is None:
                self._dimensions = dimensions
        if dimensions != self._dimensions:
            raise Unavailable(
                f"{where} gave {dimensions} dimensions where it gave {self._dimensions} before: "
                "another model answers under this name. Restart what uses it."
            )


def _blip_seconds(error: TransientError) -> float | None:
    if isinstance(error, BreakerOpen | TimedOut):
        return None
    asked = error.retry_after_seconds
    if asked is not None:
        return asked if asked <= _LONGEST_BLIP_SECONDS else None
    return random.uniform(_BLIP_WAIT_SECONDS / 2, _BLIP_WAIT_SECONDS)  # noqa: S311 jitter
