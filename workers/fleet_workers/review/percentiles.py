"""Percentiles of durations that are kept as counts, so that days can be added up."""

import math
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

_GROWTH: Final = 1.05  # each bucket is 5 % wider than the one before: 2.5 % off at most
_SHORTEST_SECONDS: Final = 0.001
_MOST: Final = 600  # 1.05 ** 600 milliseconds are 160 years


def bucket_of(span: timedelta) -> int:
    """The number of the bucket of a duration; 0 holds all up to a millisecond.

    Buckets grow by a constant factor, so that every percentile has the same relative error (Masson
    et al., "DDSketch", 2019).
    """
    seconds = span.total_seconds()
    if seconds <= _SHORTEST_SECONDS:
        return 0
    return min(_MOST, math.ceil(math.log(seconds / _SHORTEST_SECONDS, _GROWTH)))


def percentile(counts: Mapping[int, int], share: float) -> timedelta | None:
    """The duration that a share of all, 0 to 1, do not exceed, to 2.5 %; None of nothing."""
    total = sum(counts.values())
    if total == 0:
        return None
    rank, passed = max(1, math.ceil(share * total)), 0
    for bucket in sorted(counts):
        passed += counts[bucket]
        if passed >= rank:
            return _middle(bucket)
    raise AssertionError("The counts add up to their sum.")


def _middle(bucket: int) -> timedelta:
    """The value in a bucket that is off by the same share at both of its ends."""
    if bucket == 0:
        return timedelta(seconds=_SHORTEST_SECONDS)
    upper = _SHORTEST_SECONDS * _GROWTH**bucket
    return timedelta(seconds=upper * 2 / (1 + _GROWTH))
