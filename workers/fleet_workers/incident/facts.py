"""What is known of a span of time, as plain data that hypotheses are made from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What is looked at: a span of time, and whose tasks. `until` is not included."""

    since: datetime
    until: datetime
    agent: str | None = None
    tenant: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """Changes of state from `at` on, up to the next bucket, in numbers by state."""

    at: datetime
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Something that went wrong with a task: `code` is its class, `cause` tells like ones alike.

    `subject` is what failed: `tool NAME`, `model NAME`, or empty where nobody knows.
    """

    task_id: UUID
    tenant: str
    agent: str
    release: str | None
    state: str
    at: datetime
    code: str
    cause: str = ""
    subject: str = ""
    deliveries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Something that a person, or a worker's start, changed: an entry of the audit trail."""

    at: datetime
    kind: str
    who: str
    what: str
    why: str = ""
    tenant: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """A write of a troubled task: `done`, or nobody knows (`in doubt`, `begun`)."""

    task_id: UUID
    tool: str
    fate: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """How things stand now. `waiting` is the number of claimable tasks by agent."""

    served: frozenset[str] = frozenset()
    serves_all: bool = False
    waiting: Mapping[str, int] = field(default_factory=dict)
    oldest_seconds: Mapping[str, float] = field(default_factory=dict)
    janitors: int = 0
    unsent: int = 0
    unsent_error: str = ""
    open_breakers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that was gathered. `before` counts the changes of an equally long span before it.

    `is_cut` tells that more troubles happened than are listed.
    """

    scope: Scope
    buckets: tuple[Bucket, ...]
    before: Mapping[str, int]
    troubles: tuple[Trouble, ...]
    is_cut: bool
    acts: tuple[Act, ...]
    effects: tuple[Effect, ...]
    releases: Mapping[str, tuple[int, int]]
    """By release: tasks that ended or were parked in the span, and those of them in trouble."""
    present: Present

    @property
    def totals(self) -> Mapping[str, int]:
        """Changes of the span by state."""
        sums: dict[str, int] = {}
        for bucket in self.buckets:
            for state, number in bucket.counts.items():
                sums[state] = sums.get(state, 0) + number
        return sums

    @property
    def affected(self) -> dict[UUID, list[Trouble]]:
        """Troubles by task, in the order of time."""
        found: dict[UUID, list[Trouble]] = {}
        for each in self.troubles:
            found.setdefault(each.task_id, []).append(each)
        return found
