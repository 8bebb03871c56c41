"""Which finished tasks are drawn: strata, rates and chance; and what is novel."""

from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_workers.desk_file import SamplingSection
from fleet_workers.review.novelty import REMEMBERED, Familiarity
from fleet_workers.review.sampling import Stratum, is_chosen, rate_of, stratum_of

SECTION = SamplingSection(share=0.05, by_agent={"billing": 0.2}, unsure_times=2, novel_times=3)


@pytest.mark.parametrize(
    ("confidence", "level"),
    [(0.7, "low"), (0.79, "low"), (0.81, "middle"), (0.89, "middle"), (0.91, "high"), (1, "high")],
)
def test_levels_are_thirds_above_the_agents_threshold(confidence: float, level: str) -> None:
    found = stratum_of(confidence=confidence, review_below=0.7, novelty=None)
    assert str(found) == f"{level}/familiar"


def test_an_agent_that_is_never_asked_about_has_levels_too() -> None:
    for threshold in (0.0, 1.0):
        for confidence in (0.0, 0.5, 1.0):
            found = stratum_of(confidence=confidence, review_below=threshold, novelty=0.9)
            assert found.novel
            assert found.level in {"low", "middle", "high"}
    assert stratum_of(confidence=None, review_below=0.7, novelty=0).level == "none"


def test_what_is_doubtful_or_new_is_drawn_more_often() -> None:
    def rate(agent: str, level: str, novel: bool) -> float:
        return rate_of(SECTION, agent, Stratum(level=level, novel=novel))  # type: ignore[arg-type]

    assert rate("support", "high", False) == pytest.approx(0.05)
    assert rate("support", "low", False) == pytest.approx(0.10)
    assert rate("support", "high", True) == pytest.approx(0.15)
    assert rate("support", "low", True) == pytest.approx(0.30)
    assert rate("billing", "middle", False) == pytest.approx(0.20)
    assert rate("billing", "low", True) == 1.0


@given(st.uuids(), st.floats(0, 1), st.floats(0, 1))
def test_a_higher_share_draws_the_same_tasks_and_more(task: UUID, one: float, two: float) -> None:
    low, high = sorted((one, two))
    assert is_chosen(task, low) <= is_chosen(task, high)
    assert not is_chosen(task, 0)
    assert is_chosen(task, 1)


def test_the_share_that_is_drawn_is_the_share_that_was_asked_for() -> None:
    drawn = sum(is_chosen(uuid4(), 0.1) for _ in range(20_000))
    assert 1800 < drawn < 2200  # within 4.7 standard deviations


def _requests(number: int) -> list[str]:
    things = ("invoice", "refund", "card", "payment", "charge", "receipt")
    return [f"Where is the {things[i % 6]} for order A{i} of {i}.50 euros?" for i in range(number)]


def test_words_that_nobody_has_used_make_a_request_novel() -> None:
    known = Familiarity()
    for words in _requests(150):
        known.learn("billing", words)
    # Too little is known yet
    assert known.novelty("billing", "Teach my parrot to sing") is None
    assert known.novelty("support", "anything") is None
    for words in _requests(150):
        known.learn("billing", words)
    assert known.novelty("billing", "Where is the refund for order B9?") == 0
    assert known.novelty("billing", "Teach parrots singing") == 1
    assert known.novelty("billing", "Where is the parrot for order 7?") == pytest.approx(1 / 5)
    # What is asked again and again becomes familiar
    for _ in range(3):
        known.learn("billing", "Teach parrots singing")
    assert known.novelty("billing", "Teach parrots singing") == 0
    assert known.novelty("billing", "") == 0
    assert known.novelty("billing", "12 \0 \ud800 ... 99") == 0


def test_old_requests_are_forgotten_and_memory_is_bounded() -> None:
    known = Familiarity()
    for _ in range(5):
        known.learn("billing", "parrot")
    for words in _requests(REMEMBERED):
        known.learn("billing", words)
    assert known.novelty("billing", "parrot") == 1
    # Given very long requests of words that nobody has used
    for number in range(REMEMBERED + 10):
        letters = "".join(chr(97 + int(digit)) for digit in str(number))
        known.learn("billing", " ".join(f"{letters}{chr(97 + i % 26) * 3}" for i in range(500)))
    requests = known._agents["billing"]
    assert len(requests._latest) == REMEMBERED
    assert max(map(len, requests._latest)) <= 100
    assert len(requests._known_in) <= 100 * REMEMBERED
