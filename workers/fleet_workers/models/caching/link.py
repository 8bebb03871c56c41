"""Answers from stored replies where that is as good as asking, and stores what models say."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog

from fleet_workers.models.asked_for import AskedFor, Source
from fleet_workers.models.caching.keys import ModelsOf, exact_key
from fleet_workers.models.caching.meaning import Meanings, is_sound, may_serve_others
from fleet_workers.models.caching.replies import (
    Unreadable,
    may_be_kept,
    may_be_used_again,
    plans_write,
    read_reply,
    stored_form,
)
from fleet_workers.models.caching.shelf import Shelf
from fleet_workers.models.messages import ChatModel, ChatReply, ChatRequest
from fleet_workers.store.plan_cache import Entry, Meaning

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """A request whose reply may be kept, since when it waits (time.monotonic), and its key."""

    request: ChatRequest
    asked: AskedFor
    models: Sequence[str]
    key: bytes
    begun: float


class Cached:
    """A model whose replies are used again; safe to use from every slot.

    First for the very same question, then, where the agent's file allows it, for a first request
    that means the same. What a plan may do is decided for each task anew: a stored reply passes
    the same gates, checks and approvals as one that was just made. `meanings` is None where
    requests cannot be compared by meaning.
    """

    def __init__(
        self, inner: ChatModel, *, shelf: Shelf, models_of: ModelsOf, meanings: Meanings | None
    ) -> None:
        self._inner = inner
        self._shelf = shelf
        self._models_of = models_of
        self._meanings = meanings

    def complete(self, request: ChatRequest) -> ChatReply:
        """Answer one request; a stored reply costs nothing and tells what it saved.

        Raises:
            FleetError: As the model that is asked where nothing is stored.
        """
        asked, models = request.asked_for, self._models_of(request.tier)
        if asked is None or not asked.caching.lifetime or not may_be_kept(asked, models):
            return self._inner.complete(request)
        question = _Question(
            request=request,
            asked=asked,
            models=models,
            key=exact_key(request, asked, models),
            begun=time.monotonic(),
        )
        found = self._shelf.find(tenant=asked.tenant, agent=asked.agent, key=question.key)
        if found is None:
            return self._inner.complete(request)
        if found.reply is not None:
            told = {"task": str(found.task_id)}
            reply = self._read(question, question.key, found.reply, "exact_cache", told)
            if reply is not None:
                return reply
        meaning = self._meaning(question)
        if meaning is not None:
            reply = self._alike(question, meaning, found.data_version)
            if reply is not None:
                return reply
        reply = self._inner.complete(request)
        self._keep(reply, question, meaning, found.data_version)
        return reply

    def _meaning(self, question: _Question) -> Meaning | None:
        if self._meanings is None or not question.asked.caching.semantic:
            return None
        return self._meanings.read(question.request, question.asked, question.models)

    def _alike(self, question: _Question, meaning: Meaning, data_version: int) -> ChatReply | None:
        stored = self._shelf.find_alike(
            tenant=question.asked.tenant, meaning=meaning, data_version=data_version
        )
        sound = [each for each in stored if is_sound(each, meaning)]
        for each in stored:
            if each not in sound:
                self._drop(question, each.key, "Its vector is none of its embedder.")
        nearest = self._meanings.nearest(meaning, question.asked, sound) if self._meanings else None
        if nearest is None:
            return None
        other, cosine = nearest
        form = self._shelf.read_reply(tenant=question.asked.tenant, key=other.key)
        if form is None:
            return None
        told = {
            "task": str(other.task_id),
            "similarity": round(cosine, 4),
            "embedder": meaning.embedder,
        }
        reply = self._read(question, other.key, form, "semantic_cache", told)
        # It may speak of this customer by chance: whom it meant is not known.
        return reply if reply is not None and may_serve_others(reply, question.asked) else None

    def _read(
        self, question: _Question, key: bytes, form: object, source: Source, told: dict[str, Any]
    ) -> ChatReply | None:
        """A stored reply; one that cannot be read, or that writes, is none and is deleted."""
        seconds = time.monotonic() - question.begun
        try:
            reply = read_reply(form, source=source, provenance=told, seconds=seconds)
        except Unreadable as error:
            self._drop(question, key, str(error))
            return None
        if plans_write(reply, question.asked):
            self._drop(question, key, "It asks for a write, which is never stored.")
            return None
        return reply

    def _keep(
        self, reply: ChatReply, question: _Question, meaning: Meaning | None, data_version: int
    ) -> None:
        asked = question.asked
        if not may_be_used_again(reply, question.request, asked):
            return
        form = stored_form(reply)
        if form is None:
            return
        self._shelf.keep(
            Entry(
                tenant=asked.tenant,
                key=question.key,
                agent=asked.agent,
                release=asked.release,
                data_version=data_version,
                reply=form,
                task_id=UUID(asked.task_id),
                lifetime=asked.caching.lifetime,
                meaning=meaning if may_serve_others(reply, asked) else None,
            )
        )

    def _drop(self, question: _Question, key: bytes, why: str) -> None:
        log.warning("cache.entry_unreadable", error=why)
        self._shelf.drop(tenant=question.asked.tenant, key=key)
