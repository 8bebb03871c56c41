"""Tells how unlike an agent's earlier requests a new one is, by how many of its words are rare."""

import re
from array import array
from collections import Counter, deque
from typing import Final

REMEMBERED: Final = 2000
"""Requests of an agent that a new one is compared with."""
NOVEL_FROM: Final = 0.3
"""Share of rare words from which a request is novel.

Measured after 1,500 requests of two public sets of support questions: 4 and 5 % of the next 1,000
of the same set reach it, and 83 to 97 % of questions about something else.
"""

_ENOUGH = 200  # with fewer requests every word is rare
_RARE_IN = 2  # a word that at most so many earlier requests have is rare
_MOST_WORDS = 100  # of one request: bounds what a process keeps
_WORD = re.compile(r"[^\W\d_]{3,}")  # no numbers, no identifiers: they are new in every request


class Familiarity:
    """What the words of each agent's latest requests were. Used by one thread.

    It keeps at most `REMEMBERED` times a hundred numbers for each agent, and no words.
    """

    def __init__(self) -> None:
        self._agents: dict[str, _Requests] = {}

    def novelty(self, agent: str, words: str) -> float | None:
        """Share of a request's words that are rare, 0 to 1; None while too little is known."""
        known = self._agents.get(agent)
        return None if known is None else known.novelty(_numbers(words))

    def learn(self, agent: str, words: str) -> None:
        """Add a request to those that later ones are compared with."""
        self._agents.setdefault(agent, _Requests()).add(_numbers(words))

    def forget(self) -> None:
        """Begin again."""
        self._agents.clear()


class _Requests:
    def __init__(self) -> None:
        self._latest: deque[array[int]] = deque()
        self._known_in: Counter[int] = Counter()

    def novelty(self, words: "array[int]") -> float | None:
        if len(self._latest) < _ENOUGH:
            return None
        if not words:
            return 0.0
        return sum(self._known_in[word] <= _RARE_IN for word in words) / len(words)

    def add(self, words: "array[int]") -> None:
        self._latest.append(words)
        self._known_in.update(words)
        if len(self._latest) > REMEMBERED:
            for word in self._latest.popleft():
                self._known_in[word] -= 1
                if not self._known_in[word]:
                    del self._known_in[word]


def _numbers(text: str) -> "array[int]":
    """Each different word once, as a number that stands for it in this process."""
    found: dict[str, None] = {}
    for match in _WORD.finditer(text.casefold()):
        found[match[0]] = None
        if len(found) == _MOST_WORDS:
            break
    return array("q", map(hash, found))
