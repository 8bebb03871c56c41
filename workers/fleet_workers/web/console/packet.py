"""Puts a review's packet into the order in which a person reads it."""

from collections.abc import Mapping
from typing import Any

_FIRST = ("request", "proposal", "signals", "done", "found", "conversation", "data")
_IN_THE_HEAD = frozenset(
    {"why", "tenant", "agent", "customer", "session_id", "release", "confidence"}
)


def packet_sections(packet: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Name and value of each section that says something; parts that we do not know come last."""
    rest = sorted(packet.keys() - set(_FIRST) - _IN_THE_HEAD)
    return [
        (name, packet[name])
        for name in (*_FIRST, *rest)
        if packet.get(name) not in (None, "", {}, [])
    ]
