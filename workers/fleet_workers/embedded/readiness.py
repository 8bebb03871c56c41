"""Probes that tell when a process is ready for work."""

import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Final

Probe = Callable[[], bool]
"""Tells within about a second whether the process is ready. Raises nothing."""

_PROBE_TIMEOUT_SECONDS: Final = 1.0


def http_probe(url: str) -> Probe:
    """Ready once `url` answers with a status under 400. A proxy of the environment is not used."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def is_ready() -> bool:
        try:
            with opener.open(url, timeout=_PROBE_TIMEOUT_SECONDS):
                return True
        except (OSError, ValueError, urllib.error.HTTPError):
            return False

    return is_ready


def file_probe(path: Path) -> Probe:
    """Ready once the file exists: how a process says it that serves no HTTP."""
    return path.exists
