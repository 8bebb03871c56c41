"""Puts the cache before a model, as the agents' files want it."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import cache

from fleet_workers.agents.caching import known_stems
from fleet_workers.agents.catalogue import AgentCatalogue
from fleet_workers.agents.release import AgentRelease
from fleet_workers.models.caching.assembly import models_by_settings, with_cache
from fleet_workers.models.caching.meaning import IntentOf, Meanings, unknown_intent
from fleet_workers.models.candidates import Candidates
from fleet_workers.models.embeddings import Embedder, embedder_of
from fleet_workers.models.messages import ChatModel
from fleet_workers.settings import Settings
from fleet_workers.store.engine import SHORT_PATIENCE, open_engine

_CONNECTIONS = 4  # a look-up holds one for a third of a millisecond


@contextmanager
def open_cached_model(
    inner: ChatModel,
    *,
    settings: Settings,
    candidates: Candidates,
    catalogue: AgentCatalogue,
    intent_of: IntentOf = unknown_intent,
) -> Iterator[ChatModel]:
    """Open the store of replies before a model, and close it in the end.

    It has connections of its own, which wait for nothing long. Where no agent's file turns the
    semantic cache on, requests are not embedded.

    Raises:
        ConfigurationError: An agent wants requests compared by meaning, and the embedder that the
            settings name is not set or not installed.
    """
    engine = open_engine(
        settings.sqlalchemy_url,
        connections=_CONNECTIONS,
        application=f"cache of {os.getpid()}",
        ping=False,
        patience=SHORT_PATIENCE,
    )
    with ExitStack() as opened:
        opened.callback(engine.dispose)
        meanings = None
        if any(release.manifest.cache.semantic for release in catalogue):
            embedder = opened.enter_context(
                closing(embedder_of(settings, fit_on=_texts(catalogue)))
            )
            meanings = _meanings(catalogue, embedder, intent_of)
        yield with_cache(
            inner,
            engine=engine,
            models_of=models_by_settings(settings, candidates),
            meanings=meanings,
        )


def _meanings(catalogue: AgentCatalogue, embedder: Embedder, intent_of: IntentOf) -> Meanings:
    """Reads requests with the words that the agents' own examples use."""

    @cache
    def known(agent: str) -> frozenset[str]:
        return known_stems(_examples(catalogue.get(agent))) if agent in catalogue else frozenset()

    return Meanings(embedder=embedder, intent_of=intent_of, known_stems=known)


def _texts(catalogue: AgentCatalogue) -> list[str]:
    return [text for release in catalogue for text in _examples(release)]


def _examples(release: AgentRelease) -> list[str]:
    return [
        *release.manifest.scope.handles,
        *(each.text for each in release.golden),
        *(each.text for each in release.examples),
    ]
