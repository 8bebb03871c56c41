"""The estimate of difficulty: what it is made of, what it tells apart, and how long it takes."""

import csv
import time
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_workers.models.difficulty import difficulty_of, shipped_weights
from fleet_workers.models.difficulty_features import (
    MOST_EXAMPLES,
    NEARNESS,
    SHAPE,
    Examples,
    shape_of,
    words_of,
)

BANK = Path(__file__).parents[4] / "shared/data/intent/banking77_train.csv"
EXAMPLES = (
    ("Where is my parcel?", "track"),
    ("Can you tell me where my parcel is now?", "track"),
    ("When will my parcel arrive?", "track"),
    ("Please refund my order.", "refund"),
    ("I want my money back for my order.", "refund"),
    ("My order was broken, refund it please.", "refund"),
)


def bank() -> list[tuple[str, str]]:
    if not BANK.is_file():
        pytest.skip(f"{BANK.name} is missing in ../shared/data/intent.")
    with BANK.open(encoding="utf-8", newline="") as file:
        return [(row["text"], row["category"]) for row in csv.DictReader(file)]


def test_there_is_a_weight_for_each_feature() -> None:
    assert set(shipped_weights().by_feature) == {*SHAPE, *NEARNESS}


@given(st.text(max_size=300), st.lists(st.tuples(st.text(max_size=30), st.text(max_size=3))))
def test_any_text_has_an_estimate(text: str, examples: list[tuple[str, str]]) -> None:
    words = words_of(text)
    assert len(shape_of(words)) == len(SHAPE)
    nearness = Examples(examples).nearness(words)
    assert len(nearness) == len(NEARNESS)
    assert all(-1e-9 <= each <= 1 + 1e-9 for each in nearness)
    assert 0 < difficulty_of(text, tuple(examples)) < 1


def test_what_is_like_an_example_is_easier_than_what_is_not() -> None:
    like = difficulty_of("Where is my parcel now?", EXAMPLES)
    between = difficulty_of("Is my order or my parcel late?", EXAMPLES)
    strange = difficulty_of("Does the warranty cover water damage?", EXAMPLES)
    assert like < between
    assert like < strange


@pytest.mark.parametrize("examples", [(), EXAMPLES])
def test_several_requests_in_one_are_harder_than_each(
    examples: tuple[tuple[str, str], ...],
) -> None:
    first, second = "Where is my parcel?", "Please refund my order"
    joined = difficulty_of(f"{first[:-1]}, and also {second.lower()}.", examples)
    assert joined > max(difficulty_of(first, examples), difficulty_of(second, examples))


def test_numbers_in_a_request_make_no_difference() -> None:
    assert difficulty_of("Where is ord_7?", EXAMPLES) == difficulty_of("Where is ord_8?", EXAMPLES)


def test_real_messages_are_hard_in_a_quarter_or_so_and_joined_ones_mostly() -> None:
    texts = [text for text, _ in bank()][::100]
    single = [difficulty_of(each) for each in texts]
    joined = [
        difficulty_of(f"{one.rstrip('.?! ')}. Also, {other}") for one, other in pairwise(texts)
    ]
    hard_single = sum(each >= 0.5 for each in single) / len(single)
    hard_joined = sum(each >= 0.5 for each in joined) / len(joined)
    assert hard_single < 0.5
    assert hard_joined > 0.8


def test_an_estimate_takes_far_less_than_ten_milliseconds() -> None:
    examples = tuple(bank()[: 2 * MOST_EXAMPLES])
    text = " ".join(text for text, _ in examples[:50])
    difficulty_of(text, examples)
    begun = time.thread_time()
    for _ in range(5):
        difficulty_of(text, examples)
    assert (time.thread_time() - begun) / 5 < 0.01
