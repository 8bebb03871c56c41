"""What is promised of each agent's requests holds for requests that are like its examples."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet_workers.routing.sufficiency import MISROUTED, TURNED_AWAY, lacking, may_judge, needed_for
from fleet_workers.routing.thresholds import set_thresholds


def test_so_many_examples_are_needed() -> None:
    assert needed_for(MISROUTED) == 49
    assert needed_for(TURNED_AWAY) == 99
    assert may_judge(["a"] * 49 + ["b"] * 49)
    assert not may_judge(["a"] * 49 + ["b"] * 48)
    assert not may_judge([])
    assert lacking(["a"] * 100 + ["b"] * 5, TURNED_AWAY) == {"b": 5}


def test_the_promises_are_kept_for_each_agent() -> None:
    """Agents of 300 examples, one of which is mixed up five times as often as the other."""
    chance = random.Random(7)  # noqa: S311 a choice, not a secret
    wrong_share = (0.3, 0.06)

    def draw(number: int) -> tuple[list[int], list[int], np.ndarray]:
        labels = [place % 2 for place in range(number)]
        wrong = [chance.random() < wrong_share[label] for label in labels]
        guesses = [1 - label if off else label for label, off in zip(labels, wrong, strict=True)]
        scores = np.array([chance.random() * (0.8 if off else 1.0) for off in wrong])
        return labels, guesses, scores

    labels, guesses, scores = draw(600)
    found = set_thresholds(labels, guesses, scores, scores)
    assert found.sure_above is not None
    assert found.out_below is not None
    later, given, scores = draw(40_000)
    for agent in (0, 1):
        own = np.asarray(later) == agent
        surely_wrong = own & (np.asarray(given) != agent) & (scores > found.sure_above)
        assert surely_wrong.sum() / own.sum() < 1.5 * MISROUTED
        assert (own & (scores < found.out_below)).sum() / own.sum() < 2 * TURNED_AWAY


@settings(max_examples=50, deadline=None)
@given(
    right=st.lists(st.floats(0, 1), min_size=99, max_size=150),
    wrong=st.lists(st.floats(0, 1), max_size=20),
)
def test_of_the_examples_themselves_no_more_go_wrong_than_is_promised(
    right: list[float], wrong: list[float]
) -> None:
    scores = np.array(right + wrong)
    labels = [0] * len(scores)
    guesses = [0] * len(right) + [1] * len(wrong)
    found = set_thresholds(labels, guesses, scores, scores)
    assert found.sure_above is not None
    assert found.out_below is not None
    assert sum(each > found.sure_above for each in wrong) <= MISROUTED * (len(scores) + 1)
    assert (scores < found.out_below).sum() <= TURNED_AWAY * (len(scores) + 1)


def test_an_agent_of_few_examples_keeps_all_from_being_judged() -> None:
    labels = [0] * 200 + [1] * 10
    found = set_thresholds(labels, labels, np.linspace(0, 1, 210), np.linspace(0, 1, 210))
    assert (found.sure_above, found.out_below) == (None, None)


def test_where_nothing_is_mixed_up_the_least_like_are_not_sure_yet() -> None:
    scores = np.linspace(0, 1, 100)
    found = set_thresholds([0] * 100, [0] * 100, scores, scores)
    assert found.sure_above == pytest.approx(0.25, abs=0.01)
