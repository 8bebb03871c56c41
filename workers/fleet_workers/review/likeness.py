"""How alike texts are, by the rare words that they share. No model, no index, some milliseconds.

Weights after Spärck Jones 1972, "A statistical interpretation of term specificity".
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

_WORD: Final = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")  # noqa: RUF001 an apostrophe that people type
_ENDINGS: Final = ("ings", "ing", "edly", "ed", "ies", "es", "s")
_SHORTEST_STEM: Final = 4
_LONGEST_STEMMED: Final = 40  # longer ones are no words, and would fill what is kept of them
_COMMON: Final = frozenset(
    _WORD.findall(
        "a about after all also am an and any are as at be been before but by can could did do "
        "does for from get got had has have hello hi how i if in into is it its just like me my no "
        "not now of on one or our out please regards so some thank thanks than that the their them "
        "then there these they this to up us was we were what when where which who why will with "
        "would yes you your yours dear could should want need"
    )
)


def content_words(text: str) -> frozenset[str]:
    """The words of a text that say what it is about, without their endings."""
    words = _WORD.findall(text.lower())
    return frozenset(
        _stem(word) if len(word) <= _LONGEST_STEMMED else word
        for word in words
        if word not in _COMMON and (len(word) > 1 or word.isdigit())
    )


_words_of_line = lru_cache(maxsize=2048)(content_words)


def rank(about: str, texts: Sequence[str], *, at_least: float) -> list[tuple[float, int]]:
    """The lines most like `about`: likeness from 0 to 1 and place, the most alike first.

    Words weigh more the fewer of the lines hold them; those under `at_least` are left out. The
    words of a line are kept for the next time: `texts` must be short.
    """
    wanted = content_words(about)
    held = [_words_of_line(text) for text in texts]
    counts = Counter(word for words in held for word in words)
    weights = {word: math.log(1 + len(texts) / (1 + n)) ** 2 for word, n in counts.items()}
    unseen = math.log(1 + len(texts)) ** 2
    own = sum(weights.get(word, unseen) for word in wanted)
    found = []
    for place, words in enumerate(held):
        shared = sum(weights[word] for word in wanted & words)
        if shared:
            likeness = shared / math.sqrt(own * sum(weights[word] for word in words))
            if likeness >= at_least:
                found.append((likeness, place))
    return sorted(found, key=lambda each: (-each[0], each[1]))


@lru_cache(maxsize=4096)
def _stem(word: str) -> str:
    """`charge`, `charged` and `charges` are one word."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _SHORTEST_STEM:
            word = word[: -len(ending)]
            break
    return word.rstrip("ey") if len(word) > _SHORTEST_STEM else word
