"""Brings alike requests of many slots together, without a thread of its own.

The first to come leads: it waits for company, asks, and tells the others. Nobody waits while
nothing alike is under way.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field
from threading import Event, Lock

from fleet_workers.models.messages import ChatReply, ChatRequest


class GoAlone:
    """Nothing has been asked: ask by yourself."""


Told = ChatReply | Exception | GoAlone
"""What a member is told; an exception is raised in its own slot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How many may share, how large their own words may be together, and how long they wait.

    `company` is how many are known to come; the leader of two or more waits for them, even where
    nothing is under way.
    """

    most: int
    most_bytes: int
    longest_wait_seconds: float
    company: int = 1


@dataclass(slots=True)
class Batch:
    """Requests that share a call, in the order in which they came; the first one's slot leads."""

    key: Hashable
    room: Room
    members: list[ChatRequest] = field(default_factory=list)
    size_bytes: int = 0
    is_time: Event = field(default_factory=Event)
    is_told: Event = field(default_factory=Event)
    told: list[Told] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """A member's place in a batch; place 0 leads."""

    batch: Batch
    place: int


@dataclass(slots=True)
class _Group:
    under_way: int = 0
    open: Batch | None = None


class Collector:
    """The batches of one process, by what their members have in common."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._groups: dict[Hashable, _Group] = {}

    def take_seat(self, key: Hashable, request: ChatRequest, size_bytes: int, room: Room) -> Seat:
        """Join the open batch, or begin one, which leaves at once where nothing is under way."""
        with self._lock:
            group = self._groups.setdefault(key, _Group())
            batch = group.open
            if batch is not None and batch.size_bytes + size_bytes > room.most_bytes:
                batch.is_time.set()
                batch = group.open = None
            if batch is None:
                batch = Batch(key=key, room=room)
                if group.under_way or room.company > 1:
                    group.open = batch
                else:
                    batch.is_time.set()
                group.under_way += 1
            batch.members.append(request)
            batch.size_bytes += size_bytes
            if len(batch.members) >= (room.company if room.company > 1 else room.most):
                batch.is_time.set()
                group.open = None
            return Seat(batch=batch, place=len(batch.members) - 1)

    def wait_for_company(self, batch: Batch) -> list[ChatRequest]:
        """Called by the leader: wait until it is time to ask; gives all who share."""
        batch.is_time.wait(batch.room.longest_wait_seconds)
        with self._lock:
            group = self._groups[batch.key]
            if group.open is batch:
                group.open = None
            return list(batch.members)

    def tell(self, batch: Batch, told: list[Told]) -> None:
        """Called by the leader, whatever happened: tell every member, and let the next go."""
        with self._lock:
            group = self._groups[batch.key]
            if group.open is batch:  # its leader gave up while it collected
                group.open = None
            group.under_way -= 1
            if group.open is None and not group.under_way:
                del self._groups[batch.key]
            elif group.open is not None and group.under_way == 1:  # only the one that waits
                group.open.is_time.set()
        batch.told = told
        batch.is_told.set()
