"""How well requests are routed on real messages, by meanings and by words alone.

The router learns from banking77's messages but a fifth, held out by a fixed chance, and from 40 of
the 100 requests of each of CLINC150's intents; it is asked about the held-out ones and about
CLINC150's validation part with its 200 requests out of scope. The bundled agents' router learns
from their examples, and is asked about the bundled inbox and, as what nobody handles, CLINC150.
"""

import csv
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import numpy as np

from bench.figures import Figure, Remark, Said, spread
from fleet_workers.agents import load_catalogue
from fleet_workers.models import embeddings
from fleet_workers.models.embeddings import Embedder
from fleet_workers.models.lexical_embeddings import LexicalEmbedder
from fleet_workers.models.local_embeddings import LocalEmbedder
from fleet_workers.rails.personal_data import Masker
from fleet_workers.routing.examples import Labelled, examples_of
from fleet_workers.routing.intents import IntentRouter

FOLDER: Final = Path(__file__).parents[3] / "shared/data/intent"
_BANKING: Final = FOLDER / "banking77_train.csv"
_CLINC: Final = FOLDER / "clinc150_train_val.json"
_SEED: Final = 77
_HELD_OUT: Final = 5  # every fifth
_OF_EACH: Final = 40
_ALL: Final = 20_000
_FOREIGN: Final = 1000
_POOLS: Final = (
    ("top_ups", ("top_up", "topping_up", "top-up")),
    ("transfers", ("transfer", "beneficiary", "receiving_money")),
    ("cash", ("cash", "atm", "withdrawal")),
    ("exchange", ("exchange", "currenc", "fiat")),
    ("account", ("identity", "personal", "age_limit", "passcode", "terminate", "phone")),
    ("payments", ("refund", "payment", "debit", "statement", "charged", "fund")),
    ("cards", ("",)),
)
"""Pools that intents belong to, by a part of the intent's name; the first that fits."""

Item = tuple[str, str]


def measure() -> Iterator[Said]:
    """Accuracy, what tells out-of-scope requests apart, calibration, and time."""
    missing = [each.name for each in (_BANKING, _CLINC) if not each.is_file()]
    if missing:
        yield Remark(text=f"routing: skipped, ../shared/data/intent lacks {', '.join(missing)}")
        return
    kinds: list[tuple[str, Embedder]] = [("by_words", LexicalEmbedder())]
    if embeddings._missing():
        yield Remark(
            text="routing: meanings are skipped, for the extra local-embeddings is missing"
        )
    else:
        kinds.insert(0, ("by_meanings", LocalEmbedder()))
    clinc = json.loads(_CLINC.read_text(encoding="utf-8"))
    for name, embedder in kinds:
        yield from _banking(f"routing.{name}.banking77", embedder)
        yield from _out_of_scope(f"routing.{name}.clinc150", embedder, clinc)
        yield from _bundled(f"routing.{name}.bundled", embedder, clinc)
    yield from _price()


def _banking(name: str, embedder: Embedder) -> Iterator[Said]:
    with _BANKING.open(newline="", encoding="utf-8") as rows:
        items = [(row["text"], row["category"]) for row in csv.DictReader(rows)]
    random.Random(_SEED).shuffle(items)
    items.sort(key=lambda each: each[1])  # keeps the chance's order within an intent
    train = [each for place, each in enumerate(items) if place % _HELD_OUT]
    held_out = items[::_HELD_OUT]
    begun = time.monotonic()
    router = IntentRouter.train(
        [Labelled(text=text, agent=_pool(intent), intent=intent) for text, intent in train],
        embedder=embedder,
        most_examples=_ALL,
    )
    seconds = time.monotonic() - begun
    texts, wanted = [text for text, _ in held_out], [intent for _, intent in held_out]
    found = [each for each in router.intents(texts) if each is not None]
    pools = [verdict.agent for verdict in router.route_all(texts)]
    right = [each.intent == intent for each, intent in zip(found, wanted, strict=True)]
    yield Remark(text=f"{name}: {len(train)} messages learned from, {len(held_out)} held out")
    yield Figure(name=f"{name}.intents", value=_percent(right), unit="% right")
    yield Figure(
        name=f"{name}.pools",
        value=_percent([a == _pool(b) for a, b in zip(pools, wanted, strict=True)]),
        unit="% right",
    )
    yield from _calibration(name, router, texts, right, [each.probability for each in found])
    yield Figure(name=f"{name}.training", value=seconds, unit="s")


def _calibration(
    name: str,
    router: IntentRouter,
    texts: Sequence[str],
    right: Sequence[bool],
    probabilities: Sequence[float],
) -> Iterator[Said]:
    scores = router._intents.scores(router._space.likeness(texts).kernel(router._width))
    raised = np.exp(scores)
    plain = (raised / raised.sum(axis=1, keepdims=True)).max(axis=1)
    yield Figure(name=f"{name}.ece_uncalibrated", value=_ece(plain, right), unit="%")
    yield Figure(name=f"{name}.ece", value=_ece(probabilities, right), unit="%")


def _out_of_scope(name: str, embedder: Embedder, clinc: Mapping[str, Any]) -> Iterator[Said]:
    taken: dict[str, int] = {}
    train = []
    for text, intent in clinc["train"]:
        taken[intent] = taken.get(intent, 0) + 1
        if taken[intent] <= _OF_EACH:
            train.append(Labelled(text=text, agent=intent))
    router = IntentRouter.train(train, embedder=embedder, most_examples=_ALL)
    inside = router.route_all([text for text, _ in clinc["val"]])
    foreign = router.route_all([text for text, _ in clinc["oos_train"] + clinc["oos_val"]])
    right = [
        verdict.agent == intent for verdict, (_, intent) in zip(inside, clinc["val"], strict=True)
    ]
    yield Figure(name=f"{name}.intents", value=_percent(right), unit="% right")
    yield Figure(
        name=f"{name}.ece", value=_ece([each.probability for each in inside], right), unit="%"
    )
    for measured, values in (
        ("probability_times_cosine", lambda each: each.probability * each.cosine),
        ("score", lambda each: each.score),
    ):
        area = _area([values(each) for each in inside], [values(each) for each in foreign])
        yield Figure(name=f"{name}.out_of_scope_by_{measured}", value=area, unit="% AUROC")


def _bundled(name: str, embedder: Embedder, clinc: Mapping[str, Any]) -> Iterator[Said]:
    learned = examples_of(load_catalogue())
    begun = time.monotonic()
    router = IntentRouter.train(learned, embedder=embedder)
    yield Figure(name=f"{name}.training", value=time.monotonic() - begun, unit="s")
    lines = files("fleet_workers.embedded").joinpath("inbox.jsonl").read_text("utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row["agent"] == "auto"]
    seconds, verdicts = [], []
    for row in rows:
        text = Masker().mask(row["text"])
        begun = time.perf_counter()
        verdicts.append(router.route(text))
        seconds.append(time.perf_counter() - begun)
    wanted = [row["expect"]["agent"] for row in rows]
    judged = list(zip(verdicts, wanted, strict=True))
    own = [(each.agent, agent) for each, agent in judged if agent is not None]
    sure = [each.agent == agent for each, agent in judged if each.zone == "sure"]
    turned_away = [agent for each, agent in judged if each.zone == "out_of_scope"]
    yield Remark(text=f"{name}: {len(learned)} examples, {len(rows)} requests of the inbox")
    yield Figure(name=f"{name}.agents", value=_percent([a == b for a, b in own]), unit="% right")
    yield Figure(name=f"{name}.sure", value=100 * len(sure) / len(rows), unit="% of the inbox")
    yield Figure(name=f"{name}.sure_right", value=_percent(sure), unit="% right")
    yield Figure(
        name=f"{name}.turned_away_wrongly",
        value=sum(agent is not None for agent in turned_away),
        unit="requests",
    )
    chance = random.Random(_SEED)
    foreign = router.route_all([text for text, _ in chance.sample(clinc["val"], _FOREIGN)])
    for zone in ("sure", "out_of_scope"):
        share = _percent([each.zone == zone for each in foreign])
        yield Figure(name=f"{name}.clinc150_{zone}", value=share, unit="%")
    yield from spread(f"{name}.route", seconds, 0.5, 0.95)


_LOADING: Final = """
import time, resource
def memory(): return int(open('/proc/self/statm').read().split()[1]) * resource.getpagesize() / 1e6
import fleet_workers.wiring
from fleet_workers.agents import load_catalogue
from fleet_workers.models.embeddings import embedder_of
from fleet_workers.routing.port import Router
from fleet_workers.settings import Settings
router = Router(load_catalogue(), embedder_of(Settings(embedding="{embedding}")))
before, begun = memory(), time.monotonic()
router.route("Which invoices are open?")
print(time.monotonic() - begun, memory() - before)
"""


def _price() -> Iterator[Said]:
    """What a process pays that routes, over one that does not."""
    kinds = ["lexical"] if embeddings._missing() else ["local", "lexical"]
    for embedding in kinds:
        ran = subprocess.run(
            [sys.executable, "-c", _LOADING.format(embedding=embedding)],
            capture_output=True,
            text=True,
            check=True,
        )
        seconds, megabytes = map(float, ran.stdout.split()[-2:])
        yield Figure(name=f"routing.{embedding}.first_verdict", value=seconds, unit="s")
        yield Figure(name=f"routing.{embedding}.memory", value=megabytes, unit="MB")


def _pool(intent: str) -> str:
    return next(name for name, parts in _POOLS if any(each in intent.lower() for each in parts))


def _percent(right: Sequence[bool]) -> float:
    return 100 * sum(right) / len(right) if right else 0.0


def _ece(probabilities: Any, right: Sequence[bool], bins: int = 15) -> float:
    """Expected calibration error: how far told and true shares are apart, in percent."""
    told, true = np.asarray(probabilities), np.asarray(right, dtype=float)
    places = np.minimum((told * bins).astype(int), bins - 1)
    parts = [np.flatnonzero(places == each) for each in range(bins)]
    gaps = [len(each) * abs(told[each].mean() - true[each].mean()) for each in parts if len(each)]
    return 100 * sum(gaps) / len(told)


def _area(inside: Sequence[float], outside: Sequence[float]) -> float:
    """The chance, in percent, that a request in scope has more than one out of scope."""
    ordered = np.sort(np.asarray(outside))
    below = np.searchsorted(ordered, inside, side="left")
    ties = np.searchsorted(ordered, inside, side="right") - below
    return 100 * float((below + ties / 2).mean() / len(ordered))
