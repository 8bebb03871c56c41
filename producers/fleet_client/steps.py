"""What a conversation asks of the outside world, one step at a time, and what it gets back."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from fleet_contracts.envelope import TaskEnvelope
from fleet_contracts.errors import Unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """One request to the fleet's API. `path` starts with a slash; `body` is JSON text.

    `hold_seconds` is how long the server was asked to hold its answer back.
    """

    method: str
    path: str
    body: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    hold_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """An answer as it came; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    """Put the envelope on the queue of its agent; done once the broker has confirmed it."""

    envelope: TaskEnvelope


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Let this many seconds pass."""

    seconds: float


Step = HttpRequest | Publish | Pause

T = TypeVar("T")

Conversation = Generator[Step, HttpAnswer | None, T]
"""Yields steps, is sent the answer of each (None but for HTTP), has errors thrown in, returns T."""


class ConnectionBroken(Unavailable):
    """The connection broke during an exchange; whether it took effect is not known."""
