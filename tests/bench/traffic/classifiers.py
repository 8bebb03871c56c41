"""Simulated models: classifiers, whose errors on real text are their own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union

from bench.traffic.messages import Corpus, Message

_SLACK = 0.001
_HELD_OUT = 5  # every fifth known message sets the temperature
_THRESHOLDS = (0.8, 0.85, 0.9, 0.93, 0.95, 0.96, 0.97, 0.98, 0.99)
_TEMPERATURES = (0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """An intent, and the probability that it is right as the model states it."""

    intent: str
    probability: float


class Classifier:
    """Guesses intents. Made from known messages; its temperature from those that were held out."""

    def __init__(self, known: Sequence[Message], *, per_intent: int | None) -> None:
        learnt = [each for place, each in enumerate(known) if place % _HELD_OUT]
        unseen = held_out(known)
        chosen = _first_of_each(learnt, per_intent)
        self._model: Any = make_pipeline(
            make_union(
                TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
                TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True),
            ),
            LogisticRegression(C=20.0, max_iter=300),
        )
        self._model.fit([each.text for each in chosen], [each.intent for each in chosen])
        self._intents = list(self._model.classes_)
        self._temperature = 1.0
        self._temperature = min(_TEMPERATURES, key=lambda one: self._loss(unseen, one))
        self.guess = lru_cache(maxsize=None)(self._guess)

    def _guess(self, text: str) -> Guess:
        chances = self._chances([text], self._temperature)[0]
        best = int(np.argmax(chances))
        return Guess(intent=self._intents[best], probability=float(chances[best]))

    def _chances(self, texts: Sequence[str], temperature: float) -> Any:
        scores = np.asarray(self._model.decision_function(list(texts))) / temperature
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    def _loss(self, messages: Sequence[Message], temperature: float) -> float:
        chances = self._chances([each.text for each in messages], temperature)
        places = [self._intents.index(each.intent) for each in messages]
        told = chances[np.arange(len(places)), places]
        return float(-np.log(np.maximum(told, 1e-12)).mean())


def make_models(corpus: Corpus, examples: Mapping[str, int | None]) -> dict[str, Classifier]:
    """Models by tier: `examples` tells, the smallest first, of how many an intent each has learnt.

    None is all.
    """
    return {tier: Classifier(corpus.known, per_intent=count) for tier, count in examples.items()}


def wrong_share(model: Classifier, messages: Sequence[Message]) -> float:
    """How often a model is wrong, 0 to 1."""
    return sum(model.guess(each.text).intent != each.intent for each in messages) / len(messages)


def held_out(known: Sequence[Message]) -> list[Message]:
    """The known messages that no classifier has learnt from."""
    return [each for place, each in enumerate(known) if not place % _HELD_OUT]


def safe_threshold(
    models: Mapping[str, Classifier], known: Sequence[Message], *, review_below: float
) -> float:
    """The lowest confidence to accept so that climbing answers about as rightly as `large` alone.

    That is, at most 0.1 points more wrongly on held-out messages, as an operator finds it on a
    golden set; 1 where there is none.
    """
    messages = held_out(known)
    most = _wrong_answers([models["large"]], messages, 0.0, review_below) + _SLACK * len(messages)
    ladder = [models[tier] for tier in models]
    for threshold in _THRESHOLDS:
        if _wrong_answers(ladder, messages, threshold, review_below) <= most:
            return threshold
    return 1.0


def _wrong_answers(
    ladder: Sequence[Classifier],
    messages: Sequence[Message],
    threshold: float,
    review_below: float,
) -> int:
    wrong = 0
    for message in messages:
        guesses = (each.guess(message.text) for each in ladder)
        guess = next(guesses)
        for higher in guesses:
            guess = guess if guess.probability >= threshold else higher
        wrong += guess.probability >= review_below and guess.intent != message.intent
    return wrong


def _first_of_each(messages: Sequence[Message], most: int | None) -> list[Message]:
    counts: dict[str, int] = {}
    chosen = []
    for each in messages:
        counts[each.intent] = counts.get(each.intent, 0) + 1
        if most is None or counts[each.intent] <= most:
            chosen.append(each)
    return chosen
