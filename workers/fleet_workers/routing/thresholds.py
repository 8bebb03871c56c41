"""Where a router is sure, and where a request is out of scope, set on held-out examples.

Conformal prediction, for each agent by itself (Vovk, Gammerman and Shafer, Algorithmic Learning in
a Random World, 2005): of an agent's future requests, where they are like its examples, at most the
share that is named goes wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor
from typing import Any, Final

import numpy as np

from fleet_workers.routing.sufficiency import MISROUTED, TURNED_AWAY

_LEAST_LIKE: Final = 0.25
"""No request is surely an agent's which is less like its examples than so many of those are."""

_FOREIGN: Final = 0.25
"""No request is foreign that is more than so much as like the examples as those are commonly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Bounds on a request's score; None where the examples are too few to set one."""

    sure_above: float | None
    out_below: float | None


def set_thresholds(
    labels: Sequence[int], guesses: Sequence[int], scores: Any, unseen_scores: Any
) -> Thresholds:
    """From each example's agent, the agent it was given to while it was held out, and its score.

    `unseen_scores` are those with all examples of its intent held out: what an agent handles is
    more than what its examples happen to name, and they may be much like each other.
    """
    truth, given = np.asarray(labels), np.asarray(guesses)
    sure: list[float | None] = []
    out: list[float | None] = []
    for agent in np.unique(truth):
        own = truth == agent
        wrong = np.where(given[own] != agent, scores[own], 0.0)
        sure.append(_highest(wrong, MISROUTED))
        out.append(_lowest(unseen_scores[own], TURNED_AWAY))
    bounds = [each for each in sure if each is not None]
    floors = [each for each in out if each is not None]
    common = float(np.median(scores))
    return Thresholds(
        sure_above=max(*bounds, float(np.quantile(scores, _LEAST_LIKE)))
        if len(bounds) == len(sure) and bounds
        else None,
        out_below=min(*floors, _FOREIGN * common) if len(floors) == len(out) and floors else None,
    )


def _highest(values: Any, share: float) -> float | None:
    """What at most the share of future values is above."""
    rank = floor(share * (len(values) + 1))
    return float(np.sort(values)[-rank]) if rank else None


def _lowest(values: Any, share: float) -> float | None:
    """What at most the share of future values is below."""
    rank = floor(share * (len(values) + 1))
    return float(np.sort(values)[rank - 1]) if rank else None
