"""Shares of a call: nothing is lost, and nobody pays more than was reserved for it."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet_workers.models.batching.shares import input_weights, most_together, split, split_usd

WEIGHTS = st.lists(st.integers(0, 50_000), min_size=1, max_size=40)
PRICES = st.decimals("0", "1000", places=4)


@settings(deadline=None)
@given(st.integers(0, 10**6), WEIGHTS)
def test_whole_numbers_are_split_without_rest(total: int, weights: list[int]) -> None:
    parts = split(total, weights)
    assert sum(parts) == total
    assert min(parts) >= 0
    if whole := sum(weights):
        # I expect nobody to be more than one off
        assert all(abs(p * whole - total * w) <= whole for p, w in zip(parts, weights, strict=True))


@settings(deadline=None)
@given(st.decimals("0", "1000", places=9), WEIGHTS.filter(any))
def test_sums_are_never_split_into_less(total: Decimal, weights: list[int]) -> None:
    parts = [each for each in split_usd(total, weights) if each is not None]
    least = Decimal("0.00000001")
    assert total <= sum(parts) <= total + least * len(weights)


def test_what_is_not_known_is_known_to_nobody() -> None:
    assert split_usd(None, [1, 2]) == [None, None]


@settings(deadline=None)
@given(st.lists(st.integers(1, 5_000), min_size=2, max_size=20), st.integers(0, 50_000), st.data())
def test_nobody_pays_more_than_was_reserved(
    sizes: list[int], rest: int, data: st.DataObject
) -> None:
    # Given members whose share of the input is at most what was reserved for each alone
    most = sum(sizes) + rest
    weights = input_weights(sizes, most)
    assert sum(weights) >= most
    most_output = data.draw(st.integers(1, 8192))
    tokens = data.draw(st.integers(0, most))
    output = data.draw(st.integers(0, most_together(most_output, weights)))
    input_usd, output_usd = data.draw(PRICES), data.draw(PRICES)
    cost = input_usd * tokens + output_usd * output
    paid = split_usd(cost, weights)
    for weight, usd, prompt in zip(weights, paid, split(tokens, weights), strict=True):
        assert usd is not None
        assert prompt <= weight
        assert usd <= input_usd * weight + output_usd * most_output + Decimal("0.00000001")


@pytest.mark.parametrize("total", [0, 7])
def test_without_weights_all_are_equal(total: int) -> None:
    assert sum(split(total, [0, 0, 0])) == total
