"""Task ids: UUIDs that sort by time, or that follow from an idempotency key (RFC 9562)."""

import secrets
import time
from hashlib import sha256
from uuid import UUID

_VERSION_7 = 0x7 << 76
_VERSION_8 = 0x8 << 76
_VERSION_AND_VARIANT_BITS = (0xF << 76) | (0b11 << 62)
_VARIANT = 0b10 << 62


def new_task_id() -> UUID:
    """Make a UUIDv7 (section 5.7) from the current time in milliseconds and 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000
    high_random = secrets.randbits(12) << 64
    low_random = secrets.randbits(62)
    return UUID(int=(milliseconds << 80) | _VERSION_7 | high_random | _VARIANT | low_random)


def task_id_for_key(tenant: str, idempotency_key: str) -> UUID:
    """Make the UUIDv8 (section 5.8) that belongs to a tenant's idempotency key.

    Every producer that uses the key gets the same id, over every way in, without asking anybody.
    """
    digest = sha256(f"{tenant}\0{idempotency_key}".encode()).digest()[:16]
    bits = int.from_bytes(digest, "big") & ~_VERSION_AND_VARIANT_BITS
    return UUID(int=bits | _VERSION_8 | _VARIANT)
