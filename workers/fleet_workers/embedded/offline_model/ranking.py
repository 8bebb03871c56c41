"""Ranks tools against a text: field-weighted terms, synonyms, bigrams and misspellings.

The weighting follows BM25F (Robertson, Zaragoza and Taylor, 2004) in its idea: a term's weights
in the fields of a tool are summed first and saturated afterwards.
"""

import math
import re
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from threading import Lock
from typing import Final

from fleet_workers.embedded.offline_model.language import (
    RELATED,
    is_misspelling,
    name_words,
    stem,
    stems,
    trigrams,
)
from fleet_workers.embedded.offline_model.schemas import ToolSpec

_NAME, _LEAD, _BODY, _PARAMETER, _NEGATIVE = 3.0, 1.6, 1.0, 0.5, -0.8
_SYNONYM, _MISSPELT, _BIGRAM = 0.55, 0.8, 0.5
_MEASURED_TERMS: Final = 4
"""A text of more terms is measured by its four rarest: long messages ramble."""
_SENTENCE: Final = re.compile(r"(?<=[.!?;])\s+|\n+")
_NEGATION: Final = re.compile(
    r"\b(?:do not|don't|never|not for|not to|must not|cannot|rather than|instead of|not when)\b",
    re.IGNORECASE,
)
_CACHED_INDEXES: Final = 64
_REMEMBERED_WORDS: Final = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """A document with how well it fits: `strength` is 0 for no match, about 1 for a full one.

    `matched` holds the stems of the text that it was found by.
    """

    position: int
    strength: float
    matched: frozenset[str]


class TermIndex:
    """Weighted terms of a few documents. Thread-safe: only its memory of misspellings changes."""

    def __init__(
        self, documents: Sequence[dict[str, float]], names: Sequence[Iterable[str]]
    ) -> None:
        self._documents = documents
        self._names = [frozenset(name) for name in names]
        frequency = Counter(
            term for document in documents for term in document if document[term] > 0
        )
        size = len(documents)
        self._idf = {
            term: math.log(1 + (size + 0.5) / (count + 0.5)) for term, count in frequency.items()
        }
        self._unknown_idf = math.log(1 + (size + 0.5) / 0.7)
        self._by_trigram: dict[str, list[str]] = {}
        for term in frequency:
            if " " not in term:
                for piece in trigrams(term):
                    self._by_trigram.setdefault(piece, []).append(term)
        self._meant: dict[str, str | None] = {}

    def rank(self, text_stems: Sequence[str]) -> list[Ranked]:
        """All documents, best first; equal ones in their own order."""
        terms = list(dict.fromkeys(text_stems))
        expanded = {term: self._expand(term) for term in terms}
        pairs = {f"{one} {two}" for one, two in pairwise(text_stems)}
        weights = sorted((self._weight(term) for term in terms), reverse=True)
        possible = sum(weights[:_MEASURED_TERMS])
        ranked = [
            self._score(position, expanded, pairs, possible)
            for position in range(len(self._documents))
        ]
        return sorted(ranked, key=lambda each: (-each.strength, each.position))

    def knows(self, term: str) -> bool:
        """Tell whether a stem, or one that it can stand for, occurs in any document."""
        return bool(self._expand(term))

    def _weight(self, term: str) -> float:
        meant = self._closest(term) or term
        return self._idf.get(meant, self._unknown_idf)

    def _score(
        self,
        position: int,
        expanded: dict[str, list[tuple[str, float]]],
        pairs: set[str],
        possible: float,
    ) -> Ranked:
        document, name = self._documents[position], self._names[position]
        total, matched, named = 0.0, set(), set()
        for term, meanings in expanded.items():
            best = 0.0
            for meaning, factor in meanings:
                weight = document.get(meaning, 0.0)
                if weight:
                    part = factor * self._idf.get(meaning, 0.5) * weight / (abs(weight) + 1)
                    best = part if abs(part) > abs(best) else best
                    if meaning in name:
                        named.add(meaning)
            total += best
            if best > 0:
                matched.add(term)
        total += sum(_BIGRAM * self._idf[pair] for pair in pairs if document.get(pair, 0.0) > 0)
        share = len(named) / len(name) if name else 0.0
        strength = (total / possible if possible else 0.0) * 1.2 + 0.25 * share * bool(matched)
        return Ranked(position=position, strength=max(strength, 0.0), matched=frozenset(matched))

    def _expand(self, term: str) -> list[tuple[str, float]]:
        found = [(term, 1.0)] if term in self._idf else []
        found += [
            (other, _SYNONYM) for other in sorted(RELATED.get(term, ())) if other in self._idf
        ]
        if not found and (meant := self._closest(term)):
            found = [(meant, _MISSPELT)]
        return found

    def _closest(self, term: str) -> str | None:
        if term in self._idf or term in RELATED:
            return term
        if term not in self._meant:
            if len(self._meant) > _REMEMBERED_WORDS:
                self._meant.clear()
            self._meant[term] = self._find_closest(term)
        return self._meant.get(term)

    def _find_closest(self, term: str) -> str | None:
        shared: Counter[str] = Counter()
        for piece in trigrams(term[:40]):
            shared.update(self._by_trigram.get(piece, ()))
        for known, _ in sorted(shared.most_common(12), key=lambda pair: (-pair[1], pair[0])):
            if is_misspelling(term, known):
                return known
        return None


class ToolIndex(TermIndex):
    """The tools of one request, ready to be ranked. `all_specs` includes those left out of it."""

    def __init__(self, specs: Sequence[ToolSpec], all_specs: Sequence[ToolSpec] = ()) -> None:
        self.specs = tuple(specs)
        self.all_specs = tuple(all_specs) or self.specs
        super().__init__([_document(spec) for spec in specs], [spec.name_stems for spec in specs])


def line_index(lines: Sequence[str]) -> TermIndex:
    """An index over lines of text, such as those of an agent's scope."""
    documents = []
    for line in lines:
        document: defaultdict[str, float] = defaultdict(float)
        _add(document, stems(line), _NAME)
        documents.append(dict(document))
    return TermIndex(documents, [() for _ in lines])


def _document(spec: ToolSpec) -> dict[str, float]:
    document: defaultdict[str, float] = defaultdict(float)
    _add(document, [stem(word) for word in name_words(spec.name)], _BODY)
    _add(document, spec.name_stems, _NAME - _BODY)
    for number, sentence in enumerate(_SENTENCE.split(spec.description[:8_000])):
        negation = _NEGATION.search(sentence)
        before = sentence[: negation.start()] if negation else sentence
        _add(document, stems(before), _LEAD if number == 0 else _BODY)
        if negation:
            for term in set(stems(sentence[negation.start() :])):
                document[term] += _NEGATIVE
    for parameter in spec.parameters:
        enum = " ".join(str(value) for value in parameter.enum[:50])
        _add(document, [stem(word) for word in parameter.words], _PARAMETER)
        _add(document, stems(f"{parameter.description[:500]} {enum}"), _PARAMETER)
    return {term: weight for term, weight in document.items() if weight}


def _add(document: defaultdict[str, float], terms: Sequence[str], weight: float) -> None:
    for term in terms:
        document[term] += weight
    for one, two in pairwise(terms):
        document[f"{one} {two}"] += weight


class IndexCache:
    """The indexes of the schemas seen last, by their text. Thread-safe."""

    def __init__(self) -> None:
        self._indexes: OrderedDict[str, ToolIndex] = OrderedDict()
        self._lock = Lock()

    def get(self, key: str) -> ToolIndex | None:
        """The index of that key, or None where it was never made or is forgotten."""
        with self._lock:
            if key in self._indexes:
                self._indexes.move_to_end(key)
            return self._indexes.get(key)

    def put(self, key: str, index: ToolIndex) -> None:
        """Remember an index; the one used longest ago is forgotten."""
        with self._lock:
            self._indexes[key] = index
            while len(self._indexes) > _CACHED_INDEXES:
                self._indexes.popitem(last=False)
