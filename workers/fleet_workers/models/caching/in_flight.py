"""One call for tasks that ask the very same at the same moment."""

import time
from dataclasses import dataclass, field, replace
from decimal import Decimal
from threading import Event, Lock

from fleet_contracts.errors import Unavailable
from fleet_workers.models.asked_for import AskedFor
from fleet_workers.models.caching.keys import ModelsOf, exact_key
from fleet_workers.models.caching.replies import may_be_kept, may_be_used_again
from fleet_workers.models.messages import ChatModel, ChatReply, ChatRequest

_LEAST_SECONDS = 0.01


@dataclass(slots=True)
class _Flight:
    """A question that somebody is asking. `reply` is None until it brought something to share.

    `each_alone` tells that it brought what may not be shared.
    """

    ended: Event = field(default_factory=Event)
    reply: ChatReply | None = None
    each_alone: bool = False
    task_id: str = ""


class InFlight:
    """Shares the replies of a process among its slots; safe to use from every slot.

    The first asks; those that ask the same meanwhile wait for it, each within its own timeout. If
    the first one fails, one of those that wait asks next. If it gets a reply that may not be used
    again, such as one with a write in it, each of them asks by itself.
    """

    def __init__(self, inner: ChatModel, *, models_of: ModelsOf) -> None:
        self._inner = inner
        self._models_of = models_of
        self._lock = Lock()
        self._flights: dict[bytes, _Flight] = {}

    def complete(self, request: ChatRequest) -> ChatReply:
        """Answer one request, alone or with others.

        Raises:
            Unavailable: The time was over before the others' call was; this one cost nothing.
            FleetError: As the model that is asked.
        """
        asked = request.asked_for
        models = self._models_of(request.tier)
        if asked is None or not may_be_kept(asked, models):
            return self._inner.complete(request)
        key = exact_key(request, asked, models)
        until = time.monotonic() + request.timeout_seconds
        while True:
            flight, is_first = self._board(key)
            if is_first:
                return self._lead(key, flight, _until(request, until), asked)
            if not flight.ended.wait(max(until - time.monotonic(), 0.0)):
                raise Unavailable("The same question of another task was not answered in time.")
            if flight.reply is not None:
                return _shared(flight.reply, flight.task_id)
            if flight.each_alone:
                return self._inner.complete(_until(request, until))

    def _board(self, key: bytes) -> tuple[_Flight, bool]:
        with self._lock:
            found = self._flights.get(key)
            if found is not None:
                return found, False
            found = self._flights[key] = _Flight()
            return found, True

    def _lead(
        self, key: bytes, flight: _Flight, request: ChatRequest, asked: AskedFor
    ) -> ChatReply:
        try:
            reply = self._inner.complete(request)
            if _is_from_store(reply) or may_be_used_again(reply, request, asked):
                flight.reply, flight.task_id = reply, asked.task_id
            else:
                flight.each_alone = True
            return reply
        finally:
            with self._lock:
                del self._flights[key]
            flight.ended.set()


def _until(request: ChatRequest, until: float) -> ChatRequest:
    """The request with the time that is left for it."""
    return replace(request, timeout_seconds=max(until - time.monotonic(), _LEAST_SECONDS))


def _is_from_store(reply: ChatReply) -> bool:
    return reply.source in {"exact_cache", "semantic_cache"}


def _shared(reply: ChatReply, task_id: str) -> ChatReply:
    """The same reply for another task: what it cost is counted with the first one."""
    if _is_from_store(reply):
        return reply
    worth = None if reply.cost_usd is None else reply.cost_usd + (reply.saved_usd or 0)
    return replace(
        reply,
        prompt_tokens=0,
        completion_tokens=0,
        cached_tokens=0,
        cost_usd=Decimal(0),
        source="in_flight",
        saved_usd=worth,
        provenance={"task": task_id},
    )
