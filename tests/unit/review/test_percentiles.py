"""Percentiles from counts, against those of the durations themselves."""

import math
from collections import Counter
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_workers.review.percentiles import bucket_of, percentile

spans = st.lists(st.floats(0.001, 10**7), min_size=1, max_size=200)


@given(spans, st.sampled_from([0.5, 0.95, 0.0, 1.0]))
def test_a_percentile_is_off_by_2_5_percent_at_most(seconds: list[float], share: float) -> None:
    counts = Counter(bucket_of(timedelta(seconds=each)) for each in seconds)
    exact = sorted(seconds)[max(1, math.ceil(share * len(seconds))) - 1]
    found = percentile(counts, share)
    assert found is not None
    assert found.total_seconds() == pytest.approx(exact, rel=0.0251, abs=2e-5)


@given(spans, spans)
def test_days_can_be_added_up(one: list[float], two: list[float]) -> None:
    both = Counter(bucket_of(timedelta(seconds=each)) for each in one + two)
    parts = [Counter(bucket_of(timedelta(seconds=each)) for each in part) for part in (one, two)]
    assert percentile(parts[0] + parts[1], 0.95) == percentile(both, 0.95)


def test_edges() -> None:
    assert percentile({}, 0.5) is None
    assert bucket_of(timedelta(0)) == bucket_of(timedelta(seconds=-5)) == 0
    assert percentile({0: 3}, 0.5) == timedelta(milliseconds=1)
    assert bucket_of(timedelta.max) == 600
