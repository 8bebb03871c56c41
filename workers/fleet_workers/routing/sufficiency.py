"""What the router promises of each agent's requests, and how many examples that takes.

Of `n` examples the worst says that of future requests one in `n + 1` is worse: with fewer than
`1 / share - 1` nothing can be promised, and nothing is decided.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from math import ceil
from typing import Final

MISROUTED: Final = 0.02
"""The most of an agent's requests that may go to another agent without a look by the model."""

TURNED_AWAY: Final = 0.01
"""The most of an agent's requests that may go to a person as out of scope."""


def needed_for(share: float) -> int:
    """How many examples of each agent a promise of that share needs."""
    return ceil(1 / share) - 1


def may_judge(agents: Iterable[str]) -> bool:
    """Whether there are examples enough to be sure of anything; `agents` has one name for each."""
    counts = Counter(agents)
    return bool(counts) and not lacking(counts.elements(), MISROUTED)


def lacking(agents: Iterable[str], share: float) -> Mapping[str, int]:
    """The agents with too few examples for a promise of that share, and how many they have."""
    needed = needed_for(share)
    return {name: count for name, count in sorted(Counter(agents).items()) if count < needed}
