"""What of a text the injection score looks at: its words, pairs of words, and parts of words."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Final
from zlib import crc32

from fleet_workers.rails.normalise import normalise

BUCKETS: Final = 1 << 18
"""Places of each of the two tables that features are hashed into."""

WINDOW_WORDS: Final = 16
"""A longer text is looked at in windows too, so that it cannot dilute what is planted in it."""

WINDOW_HANDICAP: Final = 0.5
"""What a window's sum is lowered by: the highest of many is high by chance."""

_WORD: Final = re.compile(r"\w+|[^\w\s]")
_PARTS: Final = (3, 4, 5)
_LONGEST_WORD: Final = 64

Places = frozenset[int]


def words_of(text: str) -> list[str]:
    """Words and single signs in lower case, without what is hidden between them."""
    plain = unicodedata.normalize("NFKC", normalise(text).text).lower()
    return [word[:_LONGEST_WORD] for word in _WORD.findall(plain)]


def windows_of(words: Sequence[str]) -> Iterator[tuple[Sequence[str], float]]:
    """The whole, and of a longer text also windows that overlap by half; each with its handicap."""
    yield words, 0.0
    if len(words) > WINDOW_WORDS:
        for start in range(0, len(words) - WINDOW_WORDS // 2, WINDOW_WORDS // 2):
            yield words[start : start + WINDOW_WORDS], WINDOW_HANDICAP


def word_places(words: Sequence[str]) -> Places:
    """Where single words and pairs of neighbours stand in the first table."""
    pairs = map(" ".join, pairwise(words))
    return frozenset(_place(each) for each in (*words, *pairs))


def part_places(words: Sequence[str]) -> Places:
    """Where the parts of the words, 3 to 5 characters, stand in the second table."""
    return frozenset().union(*map(_parts, words))


@lru_cache(maxsize=4096)
def _parts(word: str) -> Places:
    framed = f" {word} "
    return frozenset(
        _place(framed[at : at + length])
        for length in _PARTS
        for at in range(len(framed) - length + 1)
    )


def _place(feature: str) -> int:
    return crc32(feature.encode()) % BUCKETS
