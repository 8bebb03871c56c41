"""The bundled agents' examples suffice for the router, and are what the agents' files say."""

import json
from collections import Counter
from functools import cache
from importlib.resources import files

import pytest

from fleet_workers.agents import load_catalogue
from fleet_workers.models import embeddings
from fleet_workers.models.local_embeddings import LocalEmbedder
from fleet_workers.rails.personal_data import Masker
from fleet_workers.routing.examples import Labelled, examples_of
from fleet_workers.routing.intents import IntentRouter
from fleet_workers.routing.sufficiency import TURNED_AWAY, lacking


@cache
def bundled() -> list[Labelled]:
    return examples_of(load_catalogue())


def test_there_are_enough_of_each_agent() -> None:
    assert not lacking([each.agent for each in bundled()], TURNED_AWAY)


def test_every_intent_has_several_wordings() -> None:
    counts = Counter((each.agent, each.intent) for each in bundled() if each.intent)
    assert len(counts) > 25
    assert min(counts.values()) >= 4


def test_no_text_stands_twice_and_personal_data_is_hidden() -> None:
    assert len({each.text for each in bundled()}) == len(bundled())
    assert not [each.text for each in bundled() if "@" in each.text]


def test_they_come_in_an_order_of_their_own() -> None:
    releases = list(load_catalogue())
    assert examples_of(releases) == examples_of(releases[::-1]) == bundled()


@cache
def inbox() -> list[tuple[str, str | None]]:
    """The bundled inbox's requests without an agent, masked, with the agent that is expected."""
    lines = files("fleet_workers.embedded").joinpath("inbox.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [
        (Masker().mask(row["text"]), row["expect"]["agent"])
        for row in rows
        if row["agent"] == "auto"
    ]


def test_by_words_alone_it_is_sure_of_little_and_right_in_that() -> None:
    router = IntentRouter.train(bundled())
    sure = [
        (verdict.agent, expected)
        for text, expected in inbox()
        if (verdict := router.route(text)).zone == "sure"
    ]
    assert len(sure) >= 5
    assert sum(agent == expected for agent, expected in sure) / len(sure) >= 0.95


@pytest.mark.skipif(bool(embeddings._missing()), reason="needs the extra local-embeddings")
def test_by_meanings_it_is_sure_of_a_third_of_the_inbox_and_right_in_that() -> None:
    router = IntentRouter.train(bundled(), embedder=LocalEmbedder())
    requests = inbox()
    verdicts = router.route_all([text for text, _ in requests])
    judged = list(zip(verdicts, [expected for _, expected in requests], strict=True))
    sure = [(each.agent, expected) for each, expected in judged if each.zone == "sure"]
    assert len(sure) >= len(requests) / 3
    assert sum(agent == expected for agent, expected in sure) / len(sure) >= 0.98
    turned_away = [expected for each, expected in judged if each.zone == "out_of_scope"]
    assert sum(expected is not None for expected in turned_away) <= 0.01 * len(requests)
