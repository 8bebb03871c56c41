"""Trains the weights of the estimate of difficulty.

    .venv/bin/python tests/bench/train_difficulty.py

What it learns from lies in ../shared/data/intent. A message's label is the share of weak
classifiers, each of a few other examples an intent, that get it wrong; several messages in one are
hard. Every message is seen as by an agent without examples, and by agents that have some. It
prints how well errors are told beforehand on messages that nothing was learned from: with the
weights that it writes, and, as a user's own trade is none of these, with weights from the other
source alone. Bitext's messages, and what `bench.traffic` sends, are never learned from.
"""

import csv
import json
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

sys.path.insert(0, str(Path(__file__).parents[2] / "workers"))
sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.traffic.messages import FOLDER, load_corpus
from fleet_workers.models.difficulty_features import (
    NEARNESS,
    SHAPE,
    Examples,
    shape_of,
    words_of,
)

_CLASSIFIERS = 5
_AGENTS = ((0, 0), (3, 10), (6, 25), (13, 77))  # examples an intent, intents of an agent
_JOINED_SHARE = 0.15
_LINKS = (". Also, ", " and ", ". And another thing: ", ". Then ", ", and by the way ", "? Plus, ")
_SENT_UP = (0.2, 0.3, 0.4)
_SHARE_HARD = 0.25
_TARGET = Path(__file__).parents[2] / "workers/fleet_workers/models/difficulty_weights.json"

Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Messages with their intents, which of them are held out, and how often they are got wrong."""

    name: str
    texts: list[str]
    intents: list[str]
    held_out: NDArray[np.bool_]
    errors: Vector


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Features and labels, 0 to 1, of messages as agents see them."""

    features: Vector
    errors: Vector
    has_examples: NDArray[np.bool_]
    is_joined: NDArray[np.bool_]


def main() -> None:
    """Train, try on what was held out, and write the weights beside the code that reads them."""
    chance = random.Random(3)
    sources = [_bank(), _clinc(), _bitext()]
    learnt = {
        each.name: _rows(each, chance, held_out=False)
        for each in sources
        if not each.held_out.all()
    }
    unseen = {each.name: _rows(each, chance, held_out=True) for each in sources}
    model = _fit(list(learnt.values()))
    for name, rows in unseen.items():
        _report(f"{name}, learned" if name in learnt else f"{name}, unseen", rows, model)
        others = [each for other, each in learnt.items() if other != name]
        if name in learnt:
            _report(f"{name}, unseen", rows, _fit(others))
    _report_retail(model)
    _write(model, _margin(model, list(unseen.values())))


def _bank() -> Source:
    with (FOLDER / "banking77_train.csv").open(encoding="utf-8", newline="") as file:
        rows = [(row["text"], row["category"]) for row in csv.DictReader(file)]
    known = {each.text for each in load_corpus().known}
    return _source("banking77", rows, [text not in known for text, _ in rows], per_intent=15)


def _clinc() -> Source:
    data = json.loads((FOLDER / "clinc150_train_val.json").read_text(encoding="utf-8"))
    rows = [(text, intent) for part in ("train", "val") for text, intent in data[part]]
    held_out = [False] * len(data["train"]) + [True] * len(data["val"])
    return _source("clinc150", rows, held_out, per_intent=10)


def _bitext() -> Source:
    """Held out as a whole, for its licence; some classifiers must learn from it all the same."""
    with (FOLDER / "bitext_support.csv").open(encoding="utf-8", newline="") as file:
        rows = [(row["instruction"], row["intent"]) for row in csv.DictReader(file)]
    return _source("bitext", rows, [True] * len(rows), per_intent=5)


def _source(
    name: str, rows: Sequence[tuple[str, str]], held_out: Sequence[bool], *, per_intent: int
) -> Source:
    texts, intents = [text for text, _ in rows], [intent for _, intent in rows]
    learnt = np.flatnonzero(~np.array(held_out)) if not all(held_out) else np.arange(len(rows))
    vectors = TfidfVectorizer(sublinear_tf=True).fit_transform(texts)
    labels, wrong, tried = np.array(intents), np.zeros(len(rows)), np.zeros(len(rows))
    draw = np.random.default_rng(0)
    for _ in range(_CLASSIFIERS):
        own = [learnt[labels[learnt] == intent] for intent in np.unique(labels)]
        shown = np.concatenate(
            [draw.choice(each, min(per_intent, len(each) // 2), replace=False) for each in own]
        )
        rest = np.setdiff1d(np.arange(len(rows)), shown)
        model = LogisticRegression(C=10.0, max_iter=300).fit(vectors[shown], labels[shown])
        wrong[rest] += model.predict(vectors[rest]) != labels[rest]
        tried[rest] += 1
    print(f"{name}: {wrong.sum() / tried.sum():.1%} of {len(rows):,} are got wrong")
    return Source(
        name=name,
        texts=texts,
        intents=intents,
        held_out=np.array(held_out),
        errors=wrong / np.maximum(tried, 1),
    )


def _rows(source: Source, chance: random.Random, *, held_out: bool) -> Rows:
    """Each message as each kind of agent sees it, and some of them joined."""
    parts, errors, has_examples, is_joined = [], [], [], []
    for per_intent, most_intents in _AGENTS:
        for examples, numbers in _agents(source, per_intent, most_intents, chance):
            seen = [each for each in numbers if source.held_out[each] == held_out]
            texts = [source.texts[each] for each in seen]
            joined = [_join(texts, chance) for _ in range(round(len(texts) * _JOINED_SHARE))]
            parts.append(_features([*texts, *joined], examples))
            errors += [*source.errors[seen], *np.ones(len(joined))]
            has_examples += [per_intent > 0] * (len(texts) + len(joined))
            is_joined += [False] * len(texts) + [True] * len(joined)
    return Rows(
        features=np.vstack(parts),
        errors=np.array(errors),
        has_examples=np.array(has_examples),
        is_joined=np.array(is_joined),
    )


def _agents(
    source: Source, per_intent: int, most_intents: int, chance: random.Random
) -> Iterator[tuple[Examples, list[int]]]:
    """Agents that share a source's intents: the examples of each, and its other messages."""
    everything = range(len(source.texts))
    if not per_intent:
        yield Examples(()), list(everything)
        return
    intents = sorted(set(source.intents))
    chance.shuffle(intents)
    for start in range(0, len(intents), most_intents):
        own = set(intents[start : start + most_intents])
        numbers = [each for each in everything if source.intents[each] in own]
        learnt = [each for each in numbers if not source.held_out[each]] or numbers
        shown: list[int] = []
        for intent in sorted(own):
            mine = [each for each in learnt if source.intents[each] == intent]
            shown += chance.sample(mine, min(per_intent, len(mine) // 2))
        kept = set(shown)
        examples = Examples([(source.texts[each], source.intents[each]) for each in shown])
        yield examples, [each for each in numbers if each not in kept]


def _join(texts: Sequence[str], chance: random.Random) -> str:
    several = chance.sample(texts, chance.choice((2, 2, 3)))
    said = several[0].rstrip(".?! ")
    for each in several[1:]:
        said += chance.choice(_LINKS) + each[:1].lower() + each[1:].rstrip(".?! ")
    return said + chance.choice((".", "?", ""))


def _features(texts: Sequence[str], examples: Examples) -> Vector:
    found = [(*shape_of(words), *examples.nearness(words)) for words in map(words_of, texts)]
    return np.array(found)


def _fit(known: Sequence[Rows]) -> LogisticRegression:
    """A label between 0 and 1 counts as both, each by its share; sources count alike."""
    features = np.vstack([each.features for each in known])
    errors = np.concatenate([each.errors for each in known])
    shares = np.concatenate([np.full(len(each.errors), 1 / len(each.errors)) for each in known])
    weights = shares * len(shares) / len(known)
    both = np.concatenate([weights * errors, weights * (1 - errors)])
    labels = np.repeat([1, 0], len(errors))
    spread = features.std(axis=0)
    model = LogisticRegression(max_iter=2000)
    model.fit(np.vstack([features, features]) / spread, labels, sample_weight=both)
    model.coef_ = model.coef_ / spread  # as it is for features that are not scaled
    return model


def _margin(model: LogisticRegression, unseen: Sequence[Rows]) -> float:
    """The sum that a quarter of single messages reach, with the intercept left out."""
    single = np.vstack([each.features[~each.is_joined] for each in unseen])
    return float(np.quantile(single @ model.coef_[0], 1 - _SHARE_HARD))


def _report(name: str, rows: Rows, model: LogisticRegression) -> None:
    sums = model.decision_function(rows.features)
    for kind, has_examples in (("without examples", False), ("with examples", True)):
        mine = (rows.has_examples == has_examples) & ~rows.is_joined
        order = np.argsort(-sums[mine])
        ranked = rows.errors[mine][order]
        caught = [ranked[: int(len(ranked) * share)].sum() / ranked.sum() for share in _SENT_UP]
        shown = ", ".join(
            f"{part:.0%} at {share:.0%}" for part, share in zip(caught, _SENT_UP, strict=True)
        )
        print(f"{name} {kind}: AUROC {_auroc(sums[mine], rows.errors[mine]):.3f}, errors {shown}")
    told_apart = roc_auc_score(rows.is_joined, sums)
    print(f"{name}: several requests in one told from single ones, AUROC {told_apart:.3f}")


def _auroc(sums: Vector, errors: Vector) -> float:
    labels, both = np.repeat([1, 0], len(sums)), np.concatenate([errors, 1 - errors])
    return float(roc_auc_score(labels, np.concatenate([sums, sums]), sample_weight=both))


def _report_retail(model: LogisticRegression) -> None:
    """Whether what needs more calls looks harder: tau2's retail tasks."""
    path = FOLDER.parent / "tau2_retail/tasks_train.json"
    tasks = json.loads(path.read_text(encoding="utf-8"))
    texts = [each["user_scenario"]["instructions"]["reason_for_call"] for each in tasks]
    calls = [len(each["evaluation_criteria"]["actions"]) for each in tasks]
    sums = model.decision_function(_features(texts, Examples(())))
    print(f"tau2 retail: rank correlation with the calls needed {spearmanr(sums, calls)[0]:.2f}")


def _write(model: LogisticRegression, margin: float) -> None:
    weights = {
        name: round(float(each), 4)
        for name, each in zip((*SHAPE, *NEARNESS), model.coef_[0], strict=True)
    }
    content = json.dumps({"weights": weights, "margin": round(margin, 4)}, indent=2)
    _TARGET.write_text(content + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
