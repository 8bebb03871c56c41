"""Turns text into stems: folding, tokens, a light English stemmer, distance between words."""

# ruff: noqa: PLR2004 - lengths and weights of single rules read best where they are used

import re
import unicodedata
from functools import lru_cache
from typing import Final

from fleet_workers.embedded.offline_model.vocabulary import (
    ABBREVIATIONS,
    IRREGULAR,
    MONTHS,
    NUMBER_WORDS,
    PHRASES,
    STOP_WORDS,
    SYNONYMS,
    WEEKDAYS,
)

_PLACEHOLDER: Final = re.compile(r"<[A-Z_]+_\d+>")
_WORD: Final = re.compile(r"[a-z]+|\d+")
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_ELONGATED: Final = re.compile(r"([a-z])\1{2,}")
_PHRASES: Final = tuple((re.compile(pattern), word) for pattern, word in PHRASES)
_VOWEL: Final = re.compile(r"[aeiouy]")
_SHORTEST_FUZZY = 4
_NO_CONTENT: Final = (
    STOP_WORDS
    | set(MONTHS)
    | set(WEEKDAYS)
    | set(NUMBER_WORDS)
    | {"dollar", "dollars", "euro", "euros", "usd", "eur", "gbp", "pounds", "bucks"}
)


def fold(text: str) -> str:
    """Lower-case text without accents, apostrophes or letters drawn out for emphasis."""
    plain = unicodedata.normalize("NFKD", text.replace("\u2019", "'")).lower()
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return _ELONGATED.sub(r"\1\1", plain.replace("'", ""))


def words(text: str) -> list[str]:
    """The words of a text in order, folded, abbreviations and common phrases written out.

    A placeholder such as `<EMAIL_1>` stands for a value, and is no word.
    """
    plain = fold(_PLACEHOLDER.sub(" ", text))
    for pattern, word in _PHRASES:
        plain = pattern.sub(word, plain)
    return [part for word in _WORD.findall(plain) for part in ABBREVIATIONS.get(word, word).split()]


def name_words(name: str) -> list[str]:
    """The words in an identifier: snake_case, kebab-case or camelCase."""
    return words(_CAMEL.sub(" ", name).replace("_", " ").replace("-", " "))


def stems(text: str) -> list[str]:
    """Stems of the words that carry meaning, in order, repeated as they stand."""
    return [stem(word) for word in words(text) if is_content(word)]


def is_content(word: str) -> bool:
    """Tell whether a word says something about what is wanted; dates and currencies do not."""
    return len(word) > 1 and not word.isdigit() and word not in _NO_CONTENT


@lru_cache(maxsize=20_000)
def stem(word: str) -> str:
    """Strip English endings, lightly: `charged`, `charges` and `charging` all give `charg`."""
    word = IRREGULAR.get(word, word)
    if len(word) > 4 and word.endswith("ies"):
        word = word[:-3] + "y"
    elif len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    word = IRREGULAR.get(word, word)
    for ending in ("ment", "ing", "ion", "ed", "er"):
        rest = word[: -len(ending)]
        if word.endswith(ending) and len(rest) > 2 and _VOWEL.search(rest):
            if ending == "ion" and rest[-1] not in "ts":
                continue
            word = _undouble(rest)
            break
    word = word.removesuffix("e") if len(word) > 3 else word
    if len(word) > 4 and word.endswith("at"):
        word = _undouble(word[:-2])
    return word[:-1] + "i" if len(word) > 3 and word.endswith("y") else word


def _undouble(word: str) -> str:
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "sz" and word not in _KEEP_DOUBLE:
        return word[:-1]
    return word


_KEEP_DOUBLE: Final = frozenset({"bill", "call", "fill", "sell", "tell", "roll", "install", "add"})


def _relate() -> dict[str, frozenset[str]]:
    related: dict[str, set[str]] = {}
    for group in SYNONYMS:
        group_stems = {stem(word) for word in group}
        for each in group_stems:
            related.setdefault(each, set()).update(group_stems - {each})
    return {word: frozenset(others) for word, others in related.items()}


RELATED: Final = _relate()
"""Stem to the stems that can mean the same in everyday English."""


def same_meaning(one: str, other: str) -> bool:
    """Tell whether two stems are equal or everyday synonyms."""
    return one == other or other in RELATED.get(one, frozenset())


def trigrams(word: str) -> set[str]:
    """Three-letter pieces of a word, its ends marked."""
    padded = f"^{word}$"
    return {padded[at : at + 3] for at in range(len(padded) - 2)}


def is_misspelling(word: str, known: str) -> bool:
    """Tell whether a word is probably meant as a known one.

    One edit is allowed in words of four to seven letters, two in longer ones; a swap of two
    neighbours is one edit (the restricted Damerau-Levenshtein distance).
    """
    if min(len(word), len(known)) < _SHORTEST_FUZZY or word[0] != known[0]:
        return False
    allowed = 1 if max(len(word), len(known)) < 8 else 2
    return _distance(word, known, allowed) <= allowed


def _distance(one: str, other: str, limit: int) -> int:
    if abs(len(one) - len(other)) > limit:
        return limit + 1
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, left in enumerate(one, start=1):
        before, last, row = row, before, [i]
        for j, right in enumerate(other, start=1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (left != right))
            if i > 1 and j > 1 and left == other[j - 2] and one[i - 2] == right:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
        if min(row) > limit:
            return limit + 1
    return row[-1]
