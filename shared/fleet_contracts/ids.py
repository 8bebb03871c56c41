"""Task ids: UUIDv7, which sort by the time they were made (RFC 9562, section 5.7)."""

import secrets
import time
from uuid import UUID

_VERSION_7 = 0x7 << 76
_VARIANT = 0b10 << 62


def new_task_id() -> UUID:
    """Make an id from the current time in milliseconds and 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000
    high_random = secrets.randbits(12) << 64
    low_random = secrets.randbits(62)
    return UUID(int=(milliseconds << 80) | _VERSION_7 | high_random | _VARIANT | low_random)
