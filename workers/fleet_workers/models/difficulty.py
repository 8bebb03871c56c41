"""Estimates how hard a request is: how likely a small model is to get it wrong.

The weights were learned from PolyAI's banking77 (CC BY 4.0) and CLINC150 (CC BY 3.0). They say how
much a request's shape counts, and its nearness to an agent's own examples; no word of those texts.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from math import exp
from typing import Final

from fleet_workers.models.difficulty_features import (
    NEARNESS,
    SHAPE,
    Example,
    Examples,
    shape_of,
    words_of,
)

_FILE: Final = "difficulty_weights.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """A logistic regression over the features of shape and nearness.

    `margin` is the sum that makes 0.5.
    """

    by_feature: Mapping[str, float]
    margin: float

    def score(self, text: str, examples: Examples) -> float:
        """From 0 to 1."""
        words = words_of(text)
        told = (*shape_of(words), *examples.nearness(words))
        found = sum(
            self.by_feature[name] * value
            for name, value in zip((*SHAPE, *NEARNESS), told, strict=True)
        )
        return 1 / (1 + exp(-max(-30.0, min(30.0, found - self.margin))))


def difficulty_of(text: str, examples: tuple[Example, ...] = ()) -> float:
    """From 0 to 1; one in four real messages of a dozen words reaches 0.5, most long ones do.

    Trained by tests/bench/train_difficulty.py. What is far from an agent's `examples`, or between
    two groups of them, is hard; so is what asks for several things at once. Without examples only
    the latter is told. A short text takes 0.1 ms with 500 examples, 4,000 characters 2 ms.
    """
    return shipped_weights().score(text, _indexed(examples))


@lru_cache(maxsize=1)
def shipped_weights() -> Weights:
    """The weights beside this file."""
    read = json.loads(files(__package__).joinpath(_FILE).read_text(encoding="utf-8"))
    return Weights(by_feature=read["weights"], margin=read["margin"])


@lru_cache(maxsize=64)
def _indexed(examples: tuple[Example, ...]) -> Examples:
    return Examples(examples)
