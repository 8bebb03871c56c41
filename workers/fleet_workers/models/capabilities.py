"""Remembers what an endpoint's model cannot do, once it has been found out."""

import re
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from enum import StrEnum
from threading import Lock
from typing import Final

from fleet_workers.models.candidates import Candidate
from fleet_workers.models.capability_records import CapabilityRecords, read_lacks
from fleet_workers.resilience.redis_link import RedisAway, RedisLink

KEPT_SECONDS: Final = 3600.0
"""How long it is believed: endpoints are upgraded."""
UNSERVED_SECONDS: Final = 60.0
"""How long a model that its endpoint does not serve is asked last: settings are mended."""
_LOOK_SECONDS = 5.0
"""How old what the rest of the fleet has found out may be."""

_UNPROCESSABLE = (400, 422)
_ABOUT_VALUE = re.compile(
    r"too (large|high|big|long|many)|at most|maximum|exceed|context (length|window)|less than",
    re.IGNORECASE,
)


class Lack(StrEnum):
    """Something that an endpoint's model cannot do, or does not heed."""

    MAX_COMPLETION_TOKENS = "max_completion_tokens"
    MAX_TOKENS = "max_tokens"
    TOOL_CHOICE = "tool_choice"
    PARALLEL_TOOL_CALLS = "parallel_tool_calls"
    JSON_SCHEMA = "json_schema"
    JSON_OBJECT = "json_object"
    STREAM_USAGE = "stream_usage"
    CHAT_COMPLETIONS = "chat_completions"
    SERVICE = "service"
    """The endpoint refuses our key, or has no such model: a setting is wrong."""


class Capabilities:
    """What each candidate lacks; safe to use from every slot.

    With `records` the fleet's processes tell each other; while Redis is away each knows what it
    has found out itself.
    """

    def __init__(
        self,
        *,
        kept_seconds: float = KEPT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        records: CapabilityRecords | None = None,
    ) -> None:
        self._kept_seconds = kept_seconds
        self._clock = clock
        self._records = records
        self._until: dict[Candidate, dict[Lack, float]] = {}
        self._lock = Lock()
        self._looks: dict[Candidate, float] = {}

    def lacks(self, candidate: Candidate) -> frozenset[Lack]:
        """What is known to be lacking now."""
        if self._records is not None:
            self._look(candidate, self._records)
        found = self._until.get(candidate)
        if not found:
            return frozenset()
        now = self._clock()
        with self._lock:
            return frozenset(lack for lack, until in found.items() if now < until)

    def learn(
        self, candidate: Candidate, lacks: Collection[Lack], *, kept_seconds: float | None = None
    ) -> None:
        """Believe for a while that these are lacking."""
        seconds = self._kept_seconds if kept_seconds is None else kept_seconds
        self._believe(candidate, dict.fromkeys(lacks, seconds))
        if self._records is not None:
            with suppress(RedisAway):
                self._records.learn(candidate, lacks, seconds=seconds)

    def _believe(self, candidate: Candidate, seconds: Mapping[Lack, float]) -> None:
        with self._lock:
            now = self._clock()
            held = self._until.setdefault(candidate, {})
            held.update({lack: now + left for lack, left in seconds.items()})

    def _look(self, candidate: Candidate, records: CapabilityRecords) -> None:
        """Take over what others have found out, now and then; nobody waits for another's look."""
        with self._lock:
            now = self._clock()
            if now < self._looks.get(candidate, now):
                return
            self._looks[candidate] = now + _LOOK_SECONDS
        with suppress(RedisAway):
            told = records.all([candidate]).get(candidate, {})
            known = {lack: left for lack, left in told.items() if lack in set(Lack)}
            self._believe(candidate, {Lack(lack): left for lack, left in known.items()})


def refused_lack(
    status: int, parameter: str | None, text: str, sent: Mapping[str, Lack]
) -> Lack | None:
    """Which of the optional parameters that were sent a refusal is about, or None.

    `parameter` is the one that the endpoint names in its own field; without that its words are
    searched. A value that is too large for the model is no lack of the parameter.
    """
    if status not in _UNPROCESSABLE or _ABOUT_VALUE.search(text):
        return None
    if parameter:
        return sent.get(re.split(r"[.\[]", parameter, maxsplit=1)[0])
    for name, lack in sent.items():
        words = name.replace("_", "[_ ]")
        if re.search(rf"(?<!\w){words}(?!\w)", text):
            return lack
    return None


def read_unserved(link: RedisLink) -> list[str]:
    """Each `MODEL at URL` that is known not to be served there.

    Raises:
        RedisAway: There is no answer.
    """
    return sorted(name for name, lacks in read_lacks(link).items() if Lack.SERVICE in lacks)
