"""What of a request the estimate of difficulty looks at: its shape, and an agent's examples."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise
from math import log, log1p, sqrt
from typing import Final

MOST_WORDS: Final = 400
"""What is read of a longer text: it is hard by its length alone."""

MOST_EXAMPLES: Final = 1_000
"""So many of an agent's examples are looked at, that an estimate takes about a millisecond."""

_MOST_CHARACTERS: Final = 4_000
_WORD: Final = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?|\w+|[^\w\s]")
_DIGIT: Final = re.compile(r"\d")
_APOSTROPHE: Final = "\N{RIGHT SINGLE QUOTATION MARK}"

_PAUSES: Final = frozenset(",:;()-")
_JOINING: Final = frozenset(
    {"and", "also", "plus", "then", "another", "both", "too", "second", "besides", "after"}
)

SHAPE: Final = ("words", "pauses", "joined")
"""The features of a request's shape: how many there are, as the logarithm of one more."""

NEARNESS: Final = ("without_examples", "nearest", "group", "group_lead", "relative_lead", "known")
"""How a request stands to an agent's examples, each from 0 to 1: whether there are none; the cosine
of the nearest one; the mean cosine of the nearest group, how far the next falls behind, and what
share of it that is; the share of the words that the examples hold."""

Example = tuple[str, str]
"""An example's text, and the group that it belongs to."""


class Examples:
    """An agent's examples by their words, weighted by how rare these are among them."""

    def __init__(self, examples: Sequence[Example]) -> None:
        kept = examples[:MOST_EXAMPLES]
        self._groups = [group for _, group in kept]
        self._sizes = Counter(self._groups)
        rows = [_terms(words_of(text)) for text, _ in kept]
        seen = Counter(term for row in rows for term in row)
        self._rarity = {term: log((1 + len(rows)) / (1 + n)) + 1 for term, n in seen.items()}
        self._unseen = log(1 + len(rows)) + 1
        self._holders: dict[str, list[tuple[int, float]]] = defaultdict(list)
        for number, row in enumerate(rows):
            length = sqrt(sum(self._rarity[term] ** 2 for term in row)) or 1.0
            for term in row:
                self._holders[term].append((number, self._rarity[term] / length))

    def nearness(self, words: Sequence[str]) -> tuple[float, ...]:
        """The features of `NEARNESS`."""
        if not self._groups:
            return (1.0, *[0.0] * (len(NEARNESS) - 1))
        terms = _terms(words)
        known = [term for term in terms if term in self._rarity]
        cosines = self._cosines(known, unseen=len(terms) - len(known))
        means: dict[str, float] = dict.fromkeys(self._sizes, 0.0)
        for group, cosine in zip(self._groups, cosines, strict=True):
            means[group] += cosine / self._sizes[group]
        highest, second, *_ = *sorted(means.values(), reverse=True)[:2], 0.0
        lead, share = highest - second, len(known) / (len(terms) or 1)
        return (0.0, max(cosines), highest, lead, lead / highest if highest else 0.0, share)

    def _cosines(self, known: Sequence[str], *, unseen: int) -> list[float]:
        squares = sum(self._rarity[term] ** 2 for term in known) + unseen * self._unseen**2
        length = sqrt(squares) or 1.0
        cosines = [0.0] * len(self._groups)
        for term in known:
            rarity = self._rarity[term] / length
            for number, part in self._holders[term]:
                cosines[number] += rarity * part
        return cosines


def words_of(text: str) -> list[str]:
    """The first words and single signs, in lower case."""
    plain = unicodedata.normalize("NFKC", text[:_MOST_CHARACTERS]).replace(_APOSTROPHE, "'")
    return _WORD.findall(plain.lower())[:MOST_WORDS]


def shape_of(words: Sequence[str]) -> tuple[float, ...]:
    """The features of `SHAPE`, from 0 to about 6."""
    counts = (
        len(words),
        sum(map(_PAUSES.__contains__, words)),
        sum(map(_JOINING.__contains__, words)),
    )
    return tuple(map(log1p, counts))


def _terms(words: Sequence[str]) -> list[str]:
    """Words and pairs of neighbours, each once and in order; all digits count as one."""
    masked = [_DIGIT.sub("0", word) for word in words]
    return list(dict.fromkeys((*masked, *map(" ".join, pairwise(masked)))))
