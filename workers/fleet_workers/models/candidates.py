"""Which models may answer for a tier, in the order in which they are asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

MAIN: Final = "main"
FALLBACK: Final = "fallback"
AT: Final = " at "

TIERS: Final = ("small", "medium", "large")
OFFLINE_PREFIX: Final = "offline-"
"""How models are called that stand in where there is none: they answer alike in every tier."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A model on an endpoint. As text it names its breaker and its price."""

    model: str
    endpoint: str = MAIN

    def __str__(self) -> str:
        """`model`, or `model at fallback` where it is not on the main endpoint."""
        return self.model if self.endpoint == MAIN else f"{self.model}{AT}{self.endpoint}"


Candidates = Mapping[str, Sequence[Candidate]]
"""Candidates by tier. There are some for `small`, which serves tiers that are not named."""


def of_tier(candidates: Candidates, tier: str) -> Sequence[Candidate]:
    """The candidates of a tier, the first to be asked first."""
    return candidates.get(tier) or candidates["small"]


def first_models(candidates: Candidates) -> dict[str, str]:
    """What is asked first for each tier; the models that ship with the fleet count as one."""
    found = {tier: str(of_tier(candidates, tier)[0]) for tier in TIERS}
    return {
        tier: OFFLINE_PREFIX if name.startswith(OFFLINE_PREFIX) else name
        for tier, name in found.items()
    }


def by_tier(models: Sequence[Sequence[str]], endpoint: str = MAIN) -> dict[str, list[Candidate]]:
    """Candidates from model names for small, medium and large; none means the tier below."""
    found: dict[str, list[Candidate]] = {}
    names: Sequence[str] = ()
    for tier, own in zip(TIERS, models, strict=True):
        names = own or names
        found[tier] = [Candidate(model=name, endpoint=endpoint) for name in names]
    return found
