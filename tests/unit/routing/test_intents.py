"""The router learns from examples, is sure only where it may be, and judges the same everywhere."""

import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fleet_contracts.errors import Unavailable
from fleet_workers.models.embeddings import Embedder
from fleet_workers.models.lexical_embeddings import LexicalEmbedder
from fleet_workers.routing.examples import Labelled, spread, words_of
from fleet_workers.routing.intents import IntentRouter
from fleet_workers.routing.sufficiency import MISROUTED, TURNED_AWAY, needed_for

_WORDS = {
    ("baker", "order_bread"): ("order", "bread", "rolls", "loaf", "buy"),
    ("baker", "opening_hours"): ("open", "hours", "sunday", "close", "late"),
    ("plumber", "leak"): ("leak", "pipe", "water", "drips", "flood"),
    ("plumber", "visit"): ("visit", "appointment", "come", "tomorrow", "morning"),
}


_BEFORE = (
    "please",
    "could you",
    "I want to",
    "we would like to",
    "hello,",
    "today:",
    "",
    "dear all,",
)
_BETWEEN = ("the", "some", "our", "a", "and", "or", "my", "for")
_AFTER = ("thanks", "as soon as you can", "if possible", "", "at home", "this week", "again")


def examples(each: int = 60) -> list[Labelled]:
    """Requests of two trades, `each` of every intent, drawn by a fixed chance."""
    chance = random.Random(5)  # noqa: S311 a choice, not a secret
    found = []
    for (agent, intent), words in _WORDS.items():
        for _ in range(each):
            first, second = chance.sample(words, 2)
            parts = (chance.choice(_BEFORE), first, chance.choice(_BETWEEN), second)
            text = " ".join((*parts, chance.choice(_AFTER))).strip()
            found.append(Labelled(text=text, agent=agent, intent=intent))
    return found


@pytest.fixture(scope="module")
def router() -> IntentRouter:
    return IntentRouter.train(examples())


@pytest.mark.parametrize(
    ("text", "agent", "intent"),
    [
        ("please order the loaf of bread", "baker", "order_bread"),
        ("please close late on sunday", "baker", "opening_hours"),
        ("please, the pipe drips and leaks water", "plumber", "leak"),
        ("please come tomorrow morning", "plumber", "visit"),
    ],
)
def test_a_request_like_the_examples_goes_to_its_agent(
    router: IntentRouter, text: str, agent: str, intent: str
) -> None:
    verdict = router.route(text)
    assert (verdict.zone, verdict.agent, verdict.intent) == ("sure", agent, intent)
    assert verdict.probability > 0.8
    assert 0 < verdict.cosine <= 1.0001


class _Topics:
    """An embedder with an axis for each trade and one for the words that belong to neither."""

    name = "topics"

    def embed(self, texts: Sequence[str]) -> list[Any]:
        return [self._vector(words_of(text)) for text in texts]

    def _vector(self, words: Sequence[str]) -> Any:
        topics = {word: agent for (agent, _), known in _WORDS.items() for word in known}
        counts = [sum(topics.get(word, "") == axis for word in words) for axis in _AXES]
        vector = np.array([3 * counts[0] + 0.1, 3 * counts[1], counts[2] * (not any(counts[:2]))])
        return (vector / np.linalg.norm(vector)).astype(np.float32)

    def close(self) -> None:
        """Nothing is open."""


_AXES = ("baker", "plumber", "")


def test_what_is_like_no_example_is_out_of_scope() -> None:
    router = IntentRouter.train(examples(), embedder=_Topics())
    assert router.route("could you buy us a loaf").zone in {"sure", "unsure"}
    assert router.route("I want to see some stars this week").zone == "out_of_scope"
    assert router.route("星が見たいのですが").zone == "unsure"


@pytest.mark.parametrize("text", ["", "???", "お世話になっております", "zwei Wörter auf Deutsch"])
def test_what_it_cannot_read_it_leaves_to_a_model(router: IntentRouter, text: str) -> None:
    assert router.route(text).zone == "unsure"


def test_an_intent_is_sought_among_those_of_the_agent(router: IntentRouter) -> None:
    text = "please order the bread"
    found = router.intent(text)
    assert found is not None
    assert (found.agent, found.intent) == ("baker", "order_bread")
    assert found.probability > 0.8
    other = router.intent(text, agent="plumber")
    assert other is not None
    assert other.agent == "plumber"
    assert router.intent(text, agent="nobody") is None


def test_the_nearest_examples_come_first(router: IntentRouter) -> None:
    near = router.neighbours("please order the bread rolls", 3)
    assert [each.agent for each in near] == ["baker"] * 3
    assert near[0].cosine >= near[1].cosine >= near[2].cosine


def test_with_too_few_examples_nothing_is_decided() -> None:
    few = [each for each in examples() if each.agent == "baker"]
    few += [each for each in examples() if each.agent == "plumber"][: needed_for(MISROUTED) - 1]
    router = IntentRouter.train(few)
    assert router.thresholds.sure_above is None
    assert router.thresholds.out_below is None
    assert router.route("please order the bread").zone == "unsure"


def test_a_little_more_suffices_for_being_sure_and_not_for_turning_away() -> None:
    number = needed_for(TURNED_AWAY) - 1
    few = [each for each in examples() if each.agent == "baker"][:number]
    few += [each for each in examples() if each.agent == "plumber"][:number]
    router = IntentRouter.train(few)
    assert router.thresholds.sure_above is not None
    assert router.thresholds.out_below is None


def test_of_examples_that_contradict_each_other_it_is_not_sure() -> None:
    confused = [
        Labelled(text=each.text, agent=agent) for each in examples() for agent in ("baker", "cook")
    ]
    verdict = IntentRouter.train(confused).route("please order the bread")
    assert verdict.zone == "unsure"
    assert verdict.probability == pytest.approx(0.5, abs=0.01)


def test_one_agent_alone_gets_what_is_like_its_examples_and_no_more() -> None:
    router = IntentRouter.train([each for each in examples() if each.agent == "baker"])
    assert router.route("please order the loaf of bread").zone == "sure"
    assert router.route("please explain quantum chromodynamics").zone != "sure"


def test_requests_without_intents_are_routed_all_the_same() -> None:
    plain = [Labelled(text=each.text, agent=each.agent) for each in examples()]
    router = IntentRouter.train(plain)
    verdict = router.route("please order the bread")
    assert (verdict.agent, verdict.intent) == ("baker", None)
    assert router.intent("please order the bread") is None


def test_too_many_examples_are_thinned_out_evenly() -> None:
    few = spread(examples(), 40)
    assert len(few) == 40
    counts = [sum(each.intent == intent for each in few) for _, intent in _WORDS]
    assert counts == [10, 10, 10, 10]
    assert IntentRouter.train(examples(), most_examples=40).size == 40


class _Meanings:
    """An embedder that knows two things, and of which a test decides whether it is there."""

    name = "meanings"
    away = False

    def embed(self, texts: Sequence[str]) -> list[Any]:
        if self.away:
            raise Unavailable("The endpoint is away.")
        return LexicalEmbedder().embed(texts)

    def close(self) -> None:
        """Nothing is open."""


def test_an_embedder_that_is_away_is_an_error_of_its_class() -> None:
    embedder: Embedder = _Meanings()
    router = IntentRouter.train(examples(), embedder=embedder)
    assert router.route("please order the bread").agent == "baker"
    _Meanings.away = True
    try:
        with pytest.raises(Unavailable):
            router.route("please order the bread")
    finally:
        _Meanings.away = False


def test_probabilities_are_calibrated_on_what_was_held_out(router: IntentRouter) -> None:
    """New requests from the same words: how often it is right is about what it says."""
    known = {each.text for each in examples()}
    new = [each for each in examples(300) if each.text not in known]
    verdicts = router.route_all([each.text for each in new])
    right = [each.agent == verdict.agent for each, verdict in zip(new, verdicts, strict=True)]
    told = sum(each.probability for each in verdicts) / len(new)
    assert told == pytest.approx(sum(right) / len(right), abs=0.03)


_SCRIPT = """
from fleet_workers.routing.intents import IntentRouter
from unit.routing.test_intents import examples
router = IntentRouter.train(examples(20))
print(repr([router.route(text) for text in ("please order bread", "please visit the pipe", "?")]))
"""


def test_every_process_judges_the_same() -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _SCRIPT],
            cwd=Path(__file__).parents[2],
            env={"PYTHONPATH": ".", "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "2")
    ]
    ran = [process.communicate()[0] for process in processes]
    assert ran[0] == ran[1]
    assert "baker" in ran[0]
