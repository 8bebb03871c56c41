"""Vectors from the words of a text and their parts: no model, no packages, no calls.

They tell texts apart that use the same words from texts that do not; two wordings of one wish
are far from each other.
"""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from hashlib import sha256
from itertools import pairwise
from math import log
from typing import Any, Final
from zlib import crc32

DIMENSIONS: Final = 4096
MOST_CHARACTERS: Final = 4000
_PARTS: Final = (3, 4, 5)
_WORD: Final = re.compile(r"\w+")
_LONGEST_WORD: Final = 64


class LexicalEmbedder:
    """TF-IDF over words, pairs of words and parts of words, hashed to a fixed length.

    A feature weighs more the fewer of the texts of `fit_on` have it; without those all weigh the
    same. The same texts give the same vectors in every process.
    """

    def __init__(self, fit_on: Sequence[str] = ()) -> None:
        self._weights = _weights(fit_on)
        fit = sha256(json.dumps(sorted(set(fit_on))).encode()).hexdigest()[:10]
        self.name: Final = f"lexical-{fit}"

    def embed(self, texts: Sequence[str]) -> list[Any]:
        """As `Embedder.embed` tells. A text without words is like others without, and no more."""
        return [self._vector(text) for text in texts]

    def close(self) -> None:
        """Nothing is open."""

    def _vector(self, text: str) -> Any:
        import numpy as np  # noqa: PLC0415 paid only by processes that embed

        vector = np.zeros(DIMENSIONS, dtype=np.float32)
        for place, count in Counter(map(_place, features_of(text))).items():
            sign = 1.0 if place & 1 else -1.0
            weight = self._weights[place >> 1] if self._weights else 1.0
            vector[place >> 1] += sign * (1.0 + log(count)) * weight
        length = float(np.linalg.norm(vector))
        if not length:
            vector[0] = length = 1.0
        return vector / np.float32(length)


def features_of(text: str) -> Iterator[str]:
    """The words of a text's first 4,000 characters, pairs of neighbours, and parts of words."""
    plain = unicodedata.normalize("NFKC", text[:MOST_CHARACTERS]).lower()
    words = [word[:_LONGEST_WORD] for word in _WORD.findall(plain)]
    yield from words
    yield from map(" ".join, pairwise(words))
    for word in words:
        yield from _parts(word)


@lru_cache(maxsize=4096)
def _parts(word: str) -> tuple[str, ...]:
    framed = f"<{word}>"
    return tuple(
        framed[at : at + length] for length in _PARTS for at in range(len(framed) - length + 1)
    )


def _place(feature: str) -> int:
    """Place and, in the lowest bit, sign: what falls together then cancels as often as it adds."""
    return crc32(feature.encode("utf-8", "replace")) % (2 * DIMENSIONS)


def _weights(texts: Sequence[str]) -> list[float]:
    if not texts:
        return []
    texts_with = Counter(
        place for text in texts for place in {_place(each) >> 1 for each in features_of(text)}
    )
    return [log((1 + len(texts)) / (1 + texts_with[place])) + 1 for place in range(DIMENSIONS)]
