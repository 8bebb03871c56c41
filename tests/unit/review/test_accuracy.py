"""How often agents are right: the estimate, and that its interval keeps what it promises."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_workers.review.accuracy import TOO_FEW, Judged, estimate, wilson

_POPULATIONS = 2000


def judged(population: int, seen: int, right: int) -> Judged:
    return Judged(population=population, judged=seen, right=right)


def test_a_single_stratum_gives_wilsons_interval() -> None:
    # 45 of 50 in Wilson's formula, as worked by hand: 0.786 to 0.957
    found = estimate([judged(10**9, 50, 45)])
    assert found.share == pytest.approx(0.9)
    assert (found.low, found.high) == pytest.approx((0.7864, 0.9565), abs=5e-4)
    assert wilson(0.9, 50) == pytest.approx((0.7864, 0.9565), abs=5e-4)


def test_nothing_is_said_of_too_few() -> None:
    for number in range(TOO_FEW):
        found = estimate([judged(1000, number, number)])
        assert (found.share, found.low, found.high) == (None, None, None)
        assert found.judged == number
    assert estimate([judged(1000, TOO_FEW, TOO_FEW)]).share == 1.0
    assert estimate([]).covered == 0


def test_all_right_is_no_certainty_but_all_judged_is() -> None:
    found = estimate([judged(1000, 20, 20)])
    assert found.low is not None
    assert (found.share, found.high) == (1.0, 1.0)
    assert 0.80 < found.low < 0.86
    whole = estimate([judged(20, 20, 17)])
    assert (whole.low, whole.share, whole.high) == pytest.approx((0.85, 0.85, 0.85))


def test_strata_count_by_their_size_and_not_by_how_many_were_judged() -> None:
    # Given 900 sure tasks, a few of them judged, and 100 doubtful ones, many judged
    found = estimate([judged(900, 20, 20), judged(100, 40, 20)])
    # I expect 0.9 x 1 + 0.1 x 0.5, and not 40 of 60
    assert found.share == pytest.approx(0.95)


def test_strata_without_a_judged_task_are_told() -> None:
    found = estimate([judged(600, 30, 27), judged(400, 0, 0)])
    assert found.share == pytest.approx(0.9)
    assert found.covered == pytest.approx(0.6)


counts = st.integers(0, 60)
strata = st.lists(
    st.tuples(st.integers(0, 5000), counts, counts).map(
        lambda each: judged(each[0], max(each[1:]), min(each[1:]))
    ),
    max_size=12,
)


@given(strata)
def test_an_estimate_lies_within_its_interval_and_both_within_0_and_1(found: list[Judged]) -> None:
    result = estimate(found)
    assert 0 <= result.covered <= 1 + 1e-9
    if result.share is None:
        assert result.judged < TOO_FEW
        return
    assert result.low is not None
    assert result.high is not None
    assert -1e-9 <= result.low <= result.share + 1e-9
    assert result.share <= result.high + 1e-9 <= 1 + 2e-9


def _population(chance: random.Random) -> list[tuple[int, int, float]]:
    """Strata of one or three agents: size, wrong answers, and the share that is drawn."""
    agents, size = chance.choice([1, 1, 3]), chance.choice([300, 1000, 3000])
    wrong = 1 - chance.choice([0.7, 0.85, 0.93, 0.97, 0.99])
    shares = [chance.expovariate(1) for _ in range(6)]
    found = []
    for _ in range(agents):
        for place in range(6):
            level, novel = place // 2, place % 2
            number = round(size / agents * shares[place] / sum(shares))
            risk = wrong * chance.uniform(0.3, 1.2) * (2.2, 1, 0.5)[level] * (1, 1.8)[novel]
            errors = sum(chance.random() < min(0.9, risk) for _ in range(number))
            found.append((number, errors, 0.05 * (2, 1, 1)[level] * (1, 2)[novel]))
    return found


def _drawn(chance: random.Random, population: list[tuple[int, int, float]]) -> list[Judged]:
    answered = chance.choice([1, 0.5])  # people may have judged only half of what was drawn
    return [
        judged(number, len(seen), sum(each >= errors for each in seen))
        for number, errors, rate in population
        for seen in [[each for each in range(number) if chance.random() < rate * answered]]
    ]


def test_the_interval_holds_the_truth_in_93_of_100_populations() -> None:
    chance = random.Random(20)  # noqa: S311 chance that a seed repeats
    held = told = 0
    while told < _POPULATIONS:
        population = _population(chance)
        found = estimate(_drawn(chance, population))
        if found.low is None or found.high is None:
            continue
        truth = 1 - sum(each[1] for each in population) / sum(each[0] for each in population)
        told += 1
        held += found.low - 1e-9 <= truth <= found.high + 1e-9
    assert held / told >= 0.93, f"{held} of {told}"
    assert held / told <= 0.985, "the intervals are wider than they need be"
