"""How alike a text is to each example: by its words, and by its meaning where a model tells it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from fleet_workers.models.embeddings import Embedder
from fleet_workers.models.lexical_embeddings import LexicalEmbedder

_WORDS_WIDTH: Final = 2.0
_WORDS_SHARE: Final = 0.3
"""What words count beside meanings. On held-out messages of banking77 0.2 to 0.5 are the same
within 0.3 points."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """One row a text, one column an example. `cosine` is that of the meanings, else of the words.

    Both are cosines, from -1 to 1.
    """

    words: Any
    meanings: Any | None

    @property
    def cosine(self) -> Any:
        """What tells how near the nearest example is."""
        return self.words if self.meanings is None else self.meanings

    def kernel(self, width: float) -> Any:
        """Gaussian kernels of both, mixed: from 0 to 1, which only the same text reaches.

        The larger `width`, the nearer an example must be to count.
        """
        words = np.exp(_WORDS_WIDTH * (self.words - 1))
        if self.meanings is None:
            return words
        meanings = np.exp(width * (self.meanings - 1))
        return _WORDS_SHARE * words + (1 - _WORDS_SHARE) * meanings


class Space:
    """The examples' vectors. `embedder` tells meanings; None where none can be told."""

    def __init__(self, texts: Sequence[str], embedder: Embedder | None) -> None:
        self._lexical = LexicalEmbedder(texts)
        self._embedder = None if isinstance(embedder, LexicalEmbedder) else embedder
        self._words = _columns(self._lexical.embed(texts))
        self._meanings = None if self._embedder is None else _columns(self._embedder.embed(texts))

    @property
    def name(self) -> str:
        """The embedder's name."""
        return (self._embedder or self._lexical).name

    def within(self) -> Likeness:
        """Of the examples to one another."""
        meanings = None if self._meanings is None else self._meanings.T @ self._meanings
        return Likeness(self._words.T @ self._words, meanings)

    def likeness(self, texts: Sequence[str]) -> Likeness:
        """Of texts to the examples.

        Raises:
            TransientError: The endpoint for embeddings is away.
        """
        words = _products(self._lexical.embed(texts), self._words)
        if self._embedder is None or self._meanings is None:
            return Likeness(words, None)
        return Likeness(words, _products(self._embedder.embed(texts), self._meanings))


def _columns(vectors: Sequence[Any]) -> Any:
    return np.ascontiguousarray(np.stack(vectors, axis=1))


def _products(vectors: Sequence[Any], columns: Any) -> Any:
    """Inner products of some vectors, one a row, with columns.

    Of one vector without BLAS, whose threads wait for each other: on two busy cores that took
    10 ms and more in place of 0.02.
    """
    if len(vectors) > 1:
        return np.stack(vectors) @ columns
    used = np.flatnonzero(vectors[0])
    return np.einsum("j,jk->k", vectors[0][used], columns[used])[None]
