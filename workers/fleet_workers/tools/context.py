"""What a tool is told about the task that calls it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from uuid import UUID

import httpx2

_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolContext:
    """Handed to a tool as its first argument; the model neither sees nor fills it.

    `customer` is whom the task is about: a tool looks up and changes nobody else's data.
    `idempotency_key` stays the same when this very call is repeated after a crash or a time-out,
    so a system that honours it does the work once. `environment` holds the variables that the
    agent's file names, and no others. `http` is a shared client, safe to use from any thread,
    whose default timeout is the tool's own; its errors need no handling: the runtime classes them.
    `fence` is for tools that go out in another way: called right before, it stops a worker that
    has lost its task.
    """

    task_id: UUID
    tenant: str
    customer: str | None
    agent: str
    idempotency_key: str
    http: httpx2.Client
    environment: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    fence: Callable[[], None] = lambda: None
