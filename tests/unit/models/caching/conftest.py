"""A store with an empty cache, and a cached model over it."""

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Engine

from fleet_workers.models.asked_for import AskedFor
from fleet_workers.models.caching.link import Cached
from fleet_workers.models.caching.meaning import Meanings
from fleet_workers.models.caching.shelf import Shelf
from fleet_workers.models.lexical_embeddings import LexicalEmbedder
from fleet_workers.models.messages import ChatModel
from fleet_workers.store.model_tables import data_versions, plan_cache
from support.databases import temporary_store
from unit.models.caching.asking import models_of

KNOWN = frozenset({"order", "parcel", "invoic", "account", "card", "money", "arriv", "quick"})

OpenCache = Callable[..., Cached]


@pytest.fixture(scope="package")
def store() -> Iterator[Engine]:
    with temporary_store(connections=10) as engine:
        yield engine


@pytest.fixture
def engine(store: Engine) -> Engine:
    with store.begin() as connection:
        connection.execute(plan_cache.delete())
        connection.execute(data_versions.delete())
    return store


@pytest.fixture
def cache(engine: Engine) -> OpenCache:
    """Opens caches: `cache(model, intent_of=…)`."""

    def open_cache(
        inner: ChatModel, *, intent_of: Callable[[AskedFor], str | None] = lambda _: "any"
    ) -> Cached:
        meanings = Meanings(
            embedder=LexicalEmbedder(), intent_of=intent_of, known_stems=lambda _: KNOWN
        )
        return Cached(inner, shelf=Shelf(engine), models_of=models_of, meanings=meanings)

    return open_cache
