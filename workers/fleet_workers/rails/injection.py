"""Scores how much a text reads like an instruction to the model rather than a request.

The weights were learned from the training parts of S-Labs' prompt injections (MIT), neuralchemy's
prompt-injection core (Apache-2.0), BIPIA's mails (MIT), PolyAI's banking77 (CC BY 4.0) and
CLINC150 (CC BY 3.0). They hold numbers under hashes, and none of the texts.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from math import exp, sqrt
from typing import Final
from zlib import decompress

from fleet_workers.rails.injection_features import (
    BUCKETS,
    Places,
    part_places,
    windows_of,
    word_places,
    words_of,
)

SUSPICIOUS_FROM: Final = 0.5
"""The score that one in a hundred harmless prompts of the training sources reaches, held out."""

_FILE: Final = "injection_weights.bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """A linear model over hashed features. `margin` is the sum from which a text is suspicious."""

    words: memoryview
    parts: memoryview
    word_unit: float
    part_unit: float
    bias: float
    margin: float

    def score(self, text: str) -> float:
        """From 0 to 1: that of the most suspicious window."""
        sums = (self._sum(words) - less for words, less in windows_of(words_of(text)))
        beyond = max(sums) - self.margin
        return 1 / (1 + exp(-max(-30.0, min(30.0, beyond))))

    def _sum(self, words: Sequence[str]) -> float:
        return (
            self.bias
            + self.word_unit * _mean(self.words, word_places(words))
            + self.part_unit * _mean(self.parts, part_places(words))
        )


def injection_score(text: str) -> float:
    """From 0 to 1, and suspicious from `SUSPICIOUS_FROM` on. A signal, never a gate by itself.

    A logistic regression, trained by tests/bench/security/train_injection.py. The first call
    reads the weights. About 0.02 ms of processor time for a message, 35 ms for 50,000 characters.
    """
    return shipped_weights().score(text)


@lru_cache(maxsize=1)
def shipped_weights() -> Weights:
    """The weights beside this file: a line of JSON, then both tables as compressed bytes."""
    head, packed = files(__package__).joinpath(_FILE).read_bytes().split(b"\n", 1)
    numbers = json.loads(head)
    table = memoryview(decompress(packed)).cast("b")
    return Weights(
        words=table[:BUCKETS],
        parts=table[BUCKETS:],
        word_unit=numbers["word_unit"],
        part_unit=numbers["part_unit"],
        bias=numbers["bias"],
        margin=numbers["margin"],
    )


def _mean(table: memoryview, places: Places) -> float:
    """The sum of the weights in a vector of length one."""
    return sum(map(table.__getitem__, places)) / sqrt(len(places) or 1)
