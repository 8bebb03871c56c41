"""Reads how long a server asks to be left alone."""

from collections.abc import Mapping


def read_retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of the header Retry-After; None where it is missing or is a date."""
    try:
        return max(0.0, float(headers["Retry-After"]))
    except (KeyError, ValueError):
        return None
