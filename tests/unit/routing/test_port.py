"""The router in a process: trained once, when it is needed, and never in the way of a task."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from threading import Thread
from typing import Any

import pytest

from fleet_contracts.errors import Unavailable
from fleet_workers.agents import AgentRelease, load_catalogue
from fleet_workers.agents.examples import Example
from fleet_workers.models.asked_for import AskedFor
from fleet_workers.models.lexical_embeddings import LexicalEmbedder
from fleet_workers.routing.port import Router
from fleet_workers.routing.verdict import Verdict
from unit.routing.test_intents import examples


class _Embedder:
    """Words as meanings; counts its calls, and is away as long as a test says."""

    name = "counted"

    def __init__(self) -> None:
        self.calls = 0
        self.away = False

    def embed(self, texts: Sequence[str]) -> list[Any]:
        self.calls += 1
        if self.away:
            raise Unavailable("The endpoint is away.")
        return LexicalEmbedder().embed(texts)

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture(scope="module")
def releases() -> list[AgentRelease]:
    """Two trades in the place of two bundled agents."""
    found = []
    for release, name in zip(load_catalogue(), ("baker", "plumber"), strict=False):
        own = tuple(
            Example(text=each.text, intent=each.intent) for each in examples() if each.agent == name
        )
        manifest = release.manifest.model_copy(update={"name": name})
        found.append(replace(release, manifest=manifest, golden=(), examples=own))
    return found


def asked(text: str, agent: str) -> AskedFor:
    return AskedFor(
        task_id="t",
        tenant="acme",
        agent=agent,
        release="r",
        customer=None,
        priority="normal",
        text=text,
        is_first=True,
        flagged=False,
    )


def test_it_routes_and_names_intents(releases: list[AgentRelease]) -> None:
    router = Router(releases, _Embedder())
    verdict = router.route("please order the bread rolls")
    assert (verdict.zone, verdict.agent) == ("sure", "baker")
    assert router.intent_of(asked("please order the bread rolls", "baker")) == "order_bread"
    assert router.intent_of(asked("zzz", "baker")) is None
    assert router.intent_of(asked("please order", "nobody")) is None


def test_many_slots_train_it_once(releases: list[AgentRelease]) -> None:
    embedder = _Embedder()
    router = Router(releases, embedder)
    found: list[Verdict] = []
    threads = [
        Thread(target=lambda: found.append(router.route("please order the bread")))
        for _ in range(8)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert embedder.calls == 1 + len(threads)
    assert len(set(found)) == 1


def test_one_that_was_prepared_is_trained_before_the_first_request(
    releases: list[AgentRelease],
) -> None:
    embedder = _Embedder()
    router = Router(releases, embedder)
    assert embedder.calls == 0
    router.prepare()
    assert embedder.calls == 1
    assert router.route("please order the bread rolls").agent == "baker"


def test_while_embeddings_are_away_a_model_chooses(releases: list[AgentRelease]) -> None:
    embedder = _Embedder()
    router = Router(releases, embedder, again_seconds=0.0)
    embedder.away = True
    assert router.route("please order the bread").zone == "unknown"
    assert router.intent_of(asked("please order the bread", "baker")) is None
    embedder.away = False
    assert router.route("please order the bread").zone == "sure"
    embedder.away = True
    assert router.route("please order the bread").zone == "unknown"
    assert router.intent_of(asked("please order the bread", "baker")) is None


def test_one_that_could_not_be_trained_is_left_alone_for_a_while(
    releases: list[AgentRelease],
) -> None:
    embedder = _Embedder()
    embedder.away = True
    router = Router(releases, embedder)
    for _ in range(3):
        assert router.route("please order the bread").zone == "unknown"
    assert embedder.calls == 1


def test_with_too_few_examples_nothing_is_loaded(releases: list[AgentRelease]) -> None:
    embedder = _Embedder()
    few = [releases[0], replace(releases[1], examples=releases[1].examples[:9])]
    router = Router(few, embedder)
    router.prepare()
    verdict = router.route("please order the bread")
    assert verdict.zone == "unknown"
    assert verdict.why is not None
    assert "plumber has" in verdict.why
    assert "examples.jsonl" in verdict.why
    assert Router([], embedder).route("please").zone == "unknown"
    assert embedder.calls == 0


def test_a_worker_that_does_not_route_does_not_pay() -> None:
    script = (
        "import sys, fleet_workers.wiring, fleet_workers.cli;"
        "print([each for each in ('numpy', 'onnxruntime', 'tokenizers') if each in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
