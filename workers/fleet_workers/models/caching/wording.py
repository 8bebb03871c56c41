"""Compares two requests word by word: what a likeness of vectors does not see.

To an embedding "cancel order 17" and "cancel order 18" are nearly the same, as are "from savings to
checking" and its reverse. So numbers, names, negations, opposites and times must be equal before
vectors are compared at all, and what else differs must not be a single word in a single place.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from fleet_workers.models.caching.vocabulary import (
    CONTRARY,
    DIRECTIONS,
    EMPTY,
    NEGATIONS,
    OPPOSITES,
    TELLING,
)

_TOKEN: Final = re.compile(
    r"\S*\d\S*"  # a number, or an identifier with all that hangs on it
    r"|[^\W\d_]+(?:['-][^\W\d_]+)*"
    r"|[^\w\s.,;:!?()\[\]{}\"'…#/*-]"  # a sign that says something: €, %, >, an emoji
)
_EDGES: Final = ".,;:!?()[]{}\"'#…"
_IDIOMS: Final = re.compile(r"\b(?:do not|don'?t) (?:know|understand)\b|\bnot sure\b")
_SYMBOL: Final = re.compile("[$€£¥]")
_MONEY: Final = {
    "$": "dollar",
    "dollars": "dollar",
    "usd": "dollar",
    "€": "euro",
    "euros": "euro",
    "eur": "euro",
    "£": "pound",
    "pounds": "pound",
    "gbp": "pound",
    "¥": "yen",
}
_ENDINGS: Final = ("ations", "ation", "ings", "ing", "ies", "ied", "ed", "es", "s", "e")
_SHORTEST_STEM = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """What a request says. `fixed` must be equal in another one that may share its reply.

    `content` are the stems of its words with a subject, each once, in order; `points` which way
    they are pointed at ("from savings": away); `past` those that stand in the past tense.
    """

    fixed: tuple[str, ...]
    content: tuple[str, ...]
    points: frozenset[tuple[str, str]]
    past: frozenset[str]


def stems(text: str) -> frozenset[str]:
    """The stems of a text's words with a subject."""
    return frozenset(_stem(each) for each in _tokens(text) if _has_subject(each))


def read_wording(text: str, known: Collection[str]) -> Wording:
    """Read a request's words; `known` are stems that its agent's examples use.

    A word that is neither known nor empty may be a name, a product or another language: it is
    fixed. So is the order of all that is fixed.
    """
    tokens = _tokens(text)
    fixed: list[str] = []
    content: list[str] = []
    points: set[tuple[str, str]] = set()
    past: set[str] = set()
    pointing: str | None = None
    negations = ""
    for each in tokens:
        if each in NEGATIONS:
            negations += "not "
        pointing = DIRECTIONS.get(each, pointing)
        if not _has_subject(each):
            fixed += [each] if each in TELLING or not _is_word(each) else []
            continue
        stem = _stem(each)
        if negations or stem in _OPPOSITES or stem not in known:
            fixed.append(negations + stem)
        content.append(stem)
        if pointing is not None:
            points.add((stem, pointing))
        if each.endswith("ed"):
            past.add(stem)
        pointing, negations = None, ""
    fixed += [negations] if negations else []
    return Wording(
        fixed=tuple(fixed),
        content=tuple(dict.fromkeys(content)),
        points=frozenset(points),
        past=frozenset(past),
    )


def may_be_the_same(one: Wording, other: Wording) -> bool:
    """Whether no word tells that two requests ask for different things."""
    if one.fixed != other.fixed or _are_contrary(one.points, other.points):
        return False
    shared = frozenset(one.content) & frozenset(other.content)
    if (one.past ^ other.past) & shared:
        return False
    ours, theirs = set(one.content) - shared, set(other.content) - shared
    if len(ours) == len(theirs) == 1:
        return False  # the same sentence with another word in its place
    if len(ours) + len(theirs) <= 1:
        return _only(one.content, shared) == _only(other.content, shared)  # else they are swapped
    return True


def _tokens(text: str) -> list[str]:
    plain = _IDIOMS.sub(" ", text.casefold().replace("\u2019", "'"))
    found: list[str] = []
    for match in _TOKEN.finditer(plain):
        token = match.group()
        if _has_digit(token):
            found.append(_SYMBOL.sub("", token).strip(_EDGES))
            found += [_MONEY[each] for each in _SYMBOL.findall(token)]
        else:
            found.append(_MONEY.get(token, token))
    return found


def _has_subject(token: str) -> bool:
    if token in EMPTY or token in NEGATIONS or token in TELLING or token in DIRECTIONS:
        return False
    return _is_word(token)


def _is_word(token: str) -> bool:
    return token[:1].isalpha() and not _has_digit(token)


def _has_digit(token: str) -> bool:
    return any(map(str.isdigit, token))


@lru_cache(maxsize=8192)
def _stem(word: str) -> str:
    """A word without its ending, so that its forms are one. It need not be a word itself."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _SHORTEST_STEM:
            word = word.removesuffix(ending) + ("y" if ending in {"ies", "ied"} else "")
            break
    if len(word) > _SHORTEST_STEM and word[-1] == word[-2]:
        return word[:-1]
    return word


_OPPOSITES: Final = frozenset(map(_stem, OPPOSITES))


def _are_contrary(ours: frozenset[tuple[str, str]], theirs: frozenset[tuple[str, str]]) -> bool:
    by_word: dict[str, set[str]] = {}
    for word, way in theirs:
        by_word.setdefault(word, set()).add(way)
    return any(
        frozenset((way, other)) in CONTRARY for word, way in ours for other in by_word.get(word, ())
    )


def _only(words: Iterable[str], chosen: Collection[str]) -> list[str]:
    return [each for each in words if each in chosen]
