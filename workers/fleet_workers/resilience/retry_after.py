"""Reads how long a server asks to be left alone."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def read_retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of the header Retry-After (RFC 9110, 10.2.3: a number or a date), or None.

    `retry-after-ms`, which model providers send beside it, is more exact and goes first.
    """
    found = _number(headers.get("Retry-After-Ms", ""))
    if found is not None:
        return found / 1000
    value = headers.get("Retry-After", "")
    found = _number(value)
    if found is not None:
        return found
    try:
        until = parsedate_to_datetime(value)
        wait = until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)
    except (ValueError, OverflowError):
        return None
    return max(0.0, wait.total_seconds())


def _number(value: str) -> float | None:
    """A number that makes sense as a wait, never below 0."""
    try:
        number = float(value)
    except ValueError:
        return None
    return max(0.0, number) if math.isfinite(number) else None
