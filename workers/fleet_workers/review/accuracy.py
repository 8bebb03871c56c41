"""Estimates how often agents are right, from a stratified sample that people have judged."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

TOO_FEW: Final = 10
"""With fewer judged tasks no share is given: its interval would say nothing."""

_Z: Final = 1.959964  # 95 % of a normal distribution lie within
_PULL: Final = 2.0
"""Judged tasks that the whole counts for in a stratum's own variance.

With 1 the interval holds the truth in 94.3 to 95.2 % of 2,500 simulated populations, with 2 in
95.1 to 95.7 %, and it grows by 4 %; without, strata with one or two judged tasks seem certain.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A stratum: how many tasks it has, how many of them were judged, how many of those right."""

    population: float
    judged: int
    right: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A share with its 95 % confidence interval, all 0 to 1.

    `share`, `low` and `high` are None where too few were judged. `covered` is the share of the
    tasks that lie in strata of which at least one was judged: the estimate says nothing of others.
    """

    judged: int
    right: int
    covered: float
    share: float | None = None
    low: float | None = None
    high: float | None = None


def estimate(strata: Iterable[Judged]) -> Estimate:
    """The share that is right among all tasks of the strata.

    Mean and variance are those of stratified sampling with finite population correction (Cochran,
    "Sampling Techniques", 3rd ed., 5.4 and 5.6). The interval is Wilson's (1927), for a share near
    1 leaves no room for a normal one, with the effective sample size of Korn and Graubard (1998):
    the one with which simple random sampling would have the same variance. One stratum without
    the correction gives Wilson's interval itself.
    """
    known = [each for each in strata if each.population > 0 or each.judged]
    seen = [each for each in known if each.judged]
    everything = sum(max(each.population, each.judged) for each in known)
    covered = sum(max(each.population, each.judged) for each in seen)
    judged, right = sum(each.judged for each in seen), sum(each.right for each in seen)
    counted = Estimate(
        judged=judged, right=right, covered=covered / everything if everything else 0.0
    )
    if judged < TOO_FEW:
        return counted
    share = sum(_weight(each, covered) * each.right / each.judged for each in seen)
    low, high = wilson(share, _effective_size(seen, covered))
    return Estimate(
        judged=judged, right=right, covered=counted.covered, share=share, low=low, high=high
    )


def wilson(share: float, size: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a share seen in `size` draws; endless draws leave the share."""
    if math.isinf(size):
        return share, share
    if size <= 0:
        return 0.0, 1.0
    scale = 1 + _Z**2 / size
    middle = (share + _Z**2 / (2 * size)) / scale
    half = _Z * math.sqrt(share * (1 - share) / size + _Z**2 / (4 * size**2)) / scale
    return min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half))


def _effective_size(seen: list[Judged], covered: float) -> float:
    whole = (sum(each.right for each in seen) + 1) / (sum(each.judged for each in seen) + 2)
    mean, variance = 0.0, 0.0
    for each in seen:
        weight = _weight(each, covered)
        own = (each.right + _PULL * whole) / (each.judged + _PULL)
        unseen = 1 - each.judged / max(each.population, each.judged)
        mean += weight * own
        variance += weight**2 * unseen * own * (1 - own) / each.judged
    return math.inf if variance <= 0 else mean * (1 - mean) / variance


def _weight(stratum: Judged, covered: float) -> float:
    return max(stratum.population, stratum.judged) / covered
