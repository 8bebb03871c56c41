"""Notices a result that holds what stands in somebody else's request and not in its own.

That is how a request that speaks for others shows, and a model that mixes them up.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Final

_VALUE: Final = re.compile(r"[\w.+-]+@[\w.-]+\w|\w+://\S+|www\.\S+|\w*\d[\w.,/-]*\w")
"""Addresses, and numbers and names with a digit, of two characters and more."""
_WORD: Final = re.compile(r"\w+")
_PHRASE_WORDS: Final = 5  # shorter ones are how everybody speaks


def takes_from_others(said: str, *, own: str, others: Sequence[str]) -> bool:
    """Whether `said` holds a value or a phrase of one of the others that is not in `own`.

    A value is told as it is written, in any case; a phrase is five words in a row. JSON within
    `said` is read with its escapes undone.
    """
    told = _plain(said)
    for parts in (_values, _phrases):
        shared = set(parts(told)) & {each for other in others for each in parts(other)}
        # What is one's own is mostly long instructions, and mostly nothing is shared.
        if shared and not shared <= set(parts(own)):
            return True
    return False


def _plain(said: str) -> str:
    """With JSON's escapes as what they stand for."""
    return re.sub(r"\\(?:u[0-9a-fA-F]{4}|[bfnrt\"\\/])", _unescaped, said)


def _unescaped(escape: re.Match[str]) -> str:
    return str(json.loads(f'"{escape[0]}"'))


def _values(text: str) -> Iterator[str]:
    return (found.strip(".,/-").casefold() for found in _VALUE.findall(text))


def _phrases(text: str) -> Iterator[tuple[str, ...]]:
    words = [word.casefold() for word in _WORD.findall(text)]
    return zip(*(words[start:] for start in range(_PHRASE_WORDS)), strict=False)
