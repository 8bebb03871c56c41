"""Finds a stored request that means the same: guards first, then words, then vectors."""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any, Final

import structlog

from fleet_contracts.errors import FleetError
from fleet_workers.models.asked_for import DATA_MARK, AskedFor
from fleet_workers.models.caching.keys import digest
from fleet_workers.models.caching.wording import may_be_the_same, read_wording
from fleet_workers.models.embeddings import Embedder
from fleet_workers.models.messages import ChatReply, ChatRequest
from fleet_workers.store.plan_cache import Alike, Meaning

log = structlog.get_logger(__name__)

_MOST_CHARACTERS = 2000  # a vector of more tells little, and no two long letters are the same
_PLACEHOLDER: Final = re.compile(r"<?\b[A-Z]+(?:_[A-Z]+)*_\d+\b>?")
_FLOAT: Final = "<f4"
_FIRST_MESSAGES: Final = ("system", "user")

IntentOf = Callable[[AskedFor], str | None]
"""What a request wants, by the router. None where it is not sure: then only the very same words of
another customer mean the same."""


def unknown_intent(_asked: AskedFor) -> None:
    """Where there is no router, nothing is sure."""


KnownStems = Callable[[str], Collection[str]]
"""Stems of words that an agent's examples use, by the agent's name."""


class Meanings:
    """Tells what requests mean and which of some stored ones means the same."""

    def __init__(self, *, embedder: Embedder, intent_of: IntentOf, known_stems: KnownStems) -> None:
        self._embedder = embedder
        self._intent_of = intent_of
        self._known_stems = known_stems

    def read(self, request: ChatRequest, asked: AskedFor, models: Sequence[str]) -> Meaning | None:
        """What a request means, or None where its reply is for its own task alone.

        That is where it was told anything but the request, or shows personal data.
        """
        words, _, data = asked.text.partition(DATA_MARK)
        if not _may_be_shared(request, asked, words):
            return None
        try:
            intent = self._intent_of(replace(asked, text=words))
            wording = read_wording(words, self._known_stems(asked.agent))
            return Meaning(
                guard=digest(
                    "meaning",
                    asked.tenant,
                    asked.agent,
                    asked.release,
                    request.tier,
                    list(models),
                    request.tools,
                    _head(request, asked),
                    bool(asked.customer),
                    data,
                    ["meant", intent] if intent and wording.content else ["said", words.split()],
                    wording.fixed,
                ),
                embedder=self._embedder.name,
                vector=_as_bytes(self._embedder.embed([words])[0]),
                words=words,
            )
        except FleetError as error:
            log.warning("cache.meaning_unknown", error=str(error))
            return None

    def nearest(
        self, meaning: Meaning, asked: AskedFor, stored: Sequence[Alike]
    ) -> tuple[Alike, float] | None:
        """The stored request that is most alike and surely no other, with its cosine.

        All of `stored` are sound.
        """
        if not stored:
            return None
        import numpy as np  # noqa: PLC0415 paid only by processes that compare meanings

        vectors = np.frombuffer(b"".join(each.vector for each in stored), dtype=_FLOAT)
        cosines = vectors.reshape(len(stored), -1) @ np.frombuffer(meaning.vector, dtype=_FLOAT)
        known = self._known_stems(asked.agent)
        own = read_wording(meaning.words, known)
        for place in np.argsort(-cosines):
            cosine = float(cosines[place])
            if cosine < asked.caching.alike_from:
                return None
            if may_be_the_same(own, read_wording(stored[place].words, known)):
                return stored[place], min(cosine, 1.0)
        return None


def may_serve_others(reply: ChatReply, asked: AskedFor) -> bool:
    """Whether a reply holds nothing that stands for one customer, and tells nothing to outsiders.

    A call of a tool that looks outside is planned from the request alone, for each task.
    """
    if any(call.name in asked.outward for call in reply.tool_calls):
        return False
    said = "\n".join([reply.text or "", *(call.arguments for call in reply.tool_calls)])
    if _PLACEHOLDER.search(said):
        return False
    return not asked.customer or _plain(asked.customer) not in _plain(said)


def is_sound(stored: Alike, meaning: Meaning) -> bool:
    """Whether a row's vector can be compared: it has the same length and is made of numbers."""
    if len(stored.vector) != len(meaning.vector):
        return False
    import numpy as np  # noqa: PLC0415 paid only by processes that compare meanings

    return bool(np.isfinite(np.frombuffer(stored.vector, dtype=_FLOAT)).all())


def _may_be_shared(request: ChatRequest, asked: AskedFor, words: str) -> bool:
    if not asked.is_first or asked.flagged or asked.personal or request.answer_schema is not None:
        return False
    if not words.strip() or len(words) > _MOST_CHARACTERS or _PLACEHOLDER.search(asked.text):
        return False
    return tuple(each.get("role") for each in request.messages) == _FIRST_MESSAGES


def _head(request: ChatRequest, asked: AskedFor) -> str:
    """What all tasks of the release are told before their own request."""
    said = str(request.messages[0].get("content"))
    return said.removesuffix(asked.about) if asked.about else said


def _plain(text: str) -> str:
    return re.sub(r"[\W_]", "", text.casefold())


def _as_bytes(vector: Any) -> bytes:
    import numpy as np  # noqa: PLC0415 paid only by processes that compare meanings

    return np.asarray(vector, dtype=_FLOAT).tobytes()
