"""How often stored plans serve real customers, how often they are wrong, and what looking costs.

Half of each corpus are the examples that an agent has, the other half is what customers send. Right
is a plan for a request of the same intent and with the same identifiers, by the corpora's labels.
"""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

import numpy as np

from bench.cached_corpora import Corpus, Looked, Message, Router, load_corpora, missing_files
from bench.cached_links import InMemory, Repeats, question
from bench.figures import Figure, Remark, Said, spread
from fleet_workers.agents.caching import known_stems
from fleet_workers.models.asked_for import CacheRules
from fleet_workers.models.caching.assembly import with_cache
from fleet_workers.models.caching.link import Cached
from fleet_workers.models.caching.meaning import Meanings
from fleet_workers.models.embeddings import Embedder, embedder_of
from fleet_workers.models.messages import ChatReply, ChatRequest
from fleet_workers.settings import Settings
from fleet_workers.store.engine import SHORT_PATIENCE, open_engine
from support.databases import temporary_database

_DRAWN = 4000  # requests of the stream in which texts come again
_THRESHOLDS = (0.95, 0.92, 0.88, 0.85)
_PLAIN = 0.95
_LOOKS = 200


def measure() -> Iterator[Said]:
    """Replay both corpora through the real cache over a store in memory; then time it over SQL."""
    if missing := missing_files():
        words = f"cache: skipped, for {', '.join(missing)} is missing in ../shared/data/intent"
        yield Remark(text=words)
        return
    with closing(embedder_of(Settings(embedding="auto"))) as embedder:
        yield Remark(text=f"cache: vectors by {embedder.name}; wrong by the corpora's labels")
        for corpus in load_corpora():
            corpus.embed(embedder)
            yield from _replay(corpus, embedder)
        yield from _times(embedder)


def _replay(corpus: Corpus, embedder: Embedder) -> Iterator[Said]:
    chance = random.Random(7)
    weights = [1 / rank for rank in range(1, len(corpus.sent) + 1)]
    streams = {
        "each_text_once": (corpus.sent, _THRESHOLDS),
        "zipf": (chance.choices(corpus.sent, weights, k=_DRAWN), _THRESHOLDS[-2:]),
    }
    router = Router(corpus, embedder)
    agreed, seconds = [], []
    for each in corpus.sent:
        begun = time.perf_counter()
        agreed.append(router.intent(each.text))
        seconds.append(time.perf_counter() - begun)
    sure = [(told, each) for told, each in zip(agreed, corpus.sent, strict=True) if told]
    right = sum(told == each.intent.replace("?", "") for told, each in sure)
    name = f"cache.{corpus.name}"
    yield Figure(name=f"{name}.routed", value=100 * len(sure) / len(agreed), unit="%")
    yield Figure(name=f"{name}.routed_right", value=100 * right / len(sure), unit="%")
    yield from spread(f"{name}.routing_without_vector", seconds, 0.5)
    for stream, (messages, thresholds) in streams.items():
        plain = _serve_plain(corpus, messages)
        yield from _told(f"{name}.{stream}.plain_{_PLAIN}", plain, len(messages))
        for threshold in thresholds:
            served = _serve(corpus, messages, embedder, router, threshold)
            yield from _told(f"{name}.{stream}.guarded_{threshold}", served, len(messages))


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """Of a stream: requests answered by an exact entry, by a like one, and wrongly so."""

    exact: int
    alike: int
    wrong: int


def _told(name: str, served: Served, requests: int) -> Iterator[Figure]:
    hits = served.exact + served.alike
    yield Figure(name=f"{name}.hits", value=100 * hits / requests, unit="% of requests")
    yield Figure(name=f"{name}.exact", value=100 * served.exact / requests, unit="% of requests")
    yield Figure(name=f"{name}.wrong", value=100 * served.wrong / requests, unit="% of requests")
    share = 100 * served.wrong / hits if hits else 0.0
    yield Figure(name=f"{name}.wrong_hits", value=share, unit="% of hits")


def _serve_plain(corpus: Corpus, messages: Sequence[Message]) -> Served:
    """What a cache does that looks at the cosine alone."""
    stored: list[Message] = []
    vectors = np.empty((len(messages), len(corpus.vectors[messages[0].text])), dtype=np.float32)
    counts: Counter[str] = Counter()
    for each in messages:
        vector = corpus.vectors[each.text]
        if stored:
            cosines = vectors[: len(stored)] @ vector
            nearest = int(cosines.argmax())
            if cosines[nearest] >= _PLAIN:
                found = stored[nearest]
                counts["exact" if found.text == each.text else "alike"] += 1
                counts["wrong"] += found.wish != each.wish
                continue
        vectors[len(stored)] = vector
        stored.append(each)
    return Served(exact=counts["exact"], alike=counts["alike"], wrong=counts["wrong"])


def _serve(
    corpus: Corpus,
    messages: Sequence[Message],
    embedder: Embedder,
    router: Router,
    threshold: float,
) -> Served:
    """The real links, guards and codec; the store is a dictionary, the model repeats the text."""
    known = known_stems(each.text for each in corpus.examples)
    meanings = Meanings(
        embedder=Looked(corpus.vectors, embedder.name),
        intent_of=lambda asked: router.intent(asked.text),
        known_stems=lambda _: known,
    )
    cached = Cached(Repeats(), shelf=InMemory(), models_of=lambda tier: [tier], meanings=meanings)
    rules = CacheRules(semantic=True, alike_from=threshold)
    by_text = {each.text: each for each in messages}
    counts: Counter[str] = Counter()
    for number, each in enumerate(messages):
        reply = cached.complete(question(each.text, number, rules))
        if reply.source == "model":
            continue
        found = by_text[str(reply.text)]
        counts["exact" if found.text == each.text else "alike"] += 1
        counts["wrong"] += found.wish != each.wish
    return Served(exact=counts["exact"], alike=counts["alike"], wrong=counts["wrong"])


def _times(embedder: Embedder) -> Iterator[Said]:
    """What a look-up adds to a question, over PostgreSQL and with real vectors, one at a time."""
    with _chain(embedder) as complete:
        embedder.embed(["warm"])
        exact, semantic = CacheRules(), CacheRules(semantic=True)
        bare = [_timed(Repeats().complete, f"{each} apples", each, exact) for each in range(20)]
        yield from spread("cache.added.no_cache", bare, 0.5)
        misses = [
            _timed(complete, f"Where are my {each} plums?", each, exact) for each in _rounds()
        ]
        hits = [_timed(complete, f"Where are my {each} plums?", each, exact) for each in _rounds()]
        yield from spread("cache.added.exact_miss", misses, 0.5, 0.95)
        yield from spread("cache.added.exact_hit", hits, 0.5, 0.95)
        words = [
            f"Where {verb} my {each} plums?" for each in _rounds() for verb in ("are", "have been")
        ]
        told = [_timed(complete, each, 1000 + n, semantic) for n, each in enumerate(words)]
        yield from spread("cache.added.semantic_miss", told[::2], 0.5, 0.95)
        yield from spread("cache.added.semantic_hit", told[1::2], 0.5, 0.95)
        embeds = []
        for each in words[:_LOOKS]:
            begun = time.perf_counter()
            embedder.embed([each])
            embeds.append(time.perf_counter() - begun)
        yield from spread("cache.embedding", embeds, 0.5, 0.95)


def _rounds() -> range:
    return range(_LOOKS)


def _timed(
    complete: Callable[[ChatRequest], ChatReply], text: str, number: int, rules: CacheRules
) -> float:
    request = question(text, number, rules)
    begun = time.perf_counter()
    complete(request)
    return time.perf_counter() - begun


@contextmanager
def _chain(embedder: Embedder) -> Iterator[Callable[[ChatRequest], ChatReply]]:
    known = known_stems(["where are my plums"] * 2)
    meanings = Meanings(embedder=embedder, intent_of=lambda _: "fruit", known_stems=lambda _: known)
    with temporary_database() as url:
        engine = open_engine(
            url, connections=2, application="bench", ping=False, patience=SHORT_PATIENCE
        )
        try:
            yield with_cache(
                Repeats(), engine=engine, models_of=lambda tier: [tier], meanings=meanings
            ).complete
        finally:
            engine.dispose()
