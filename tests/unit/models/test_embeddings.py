"""Embedders: what they give is of length one and in order, and bad answers are told by class."""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

from fleet_contracts.errors import (
    BreakerOpen,
    ConfigurationError,
    FleetError,
    PermanentError,
    TimedOut,
    Unavailable,
)
from fleet_workers.models import embeddings, local_embeddings
from fleet_workers.models.embedding_endpoint import MOST_CHARACTERS, MOST_TEXTS
from fleet_workers.models.embeddings import Embedder, embedder_of
from fleet_workers.models.lexical_embeddings import LexicalEmbedder
from fleet_workers.models.local_embeddings import LocalEmbedder
from fleet_workers.resilience.breakers import Breakers
from fleet_workers.settings import Settings
from support.model_endpoint import Body, Told, model_endpoint, refused, told

NEEDS_LOCAL = pytest.mark.skipif(
    bool(embeddings._missing()), reason="needs the extra local-embeddings"
)
Asking = Callable[..., Embedder]


@pytest.fixture
def asking() -> Iterator[Asking]:
    opened: list[Embedder] = []

    def embedder(url: str, breakers: Breakers | None = None, **changes: Any) -> Embedder:
        settings = Settings(
            openai_base_url=url, openai_api_key="k", embedding_model="vectors", **changes
        )
        opened.append(embedder_of(settings, breakers=breakers))
        return opened[-1]

    yield embedder
    for each in opened:
        each.close()


def vectors(body: Body) -> Told:
    """Vectors whose direction tells the text's length; in reverse order, which `index` mends."""
    rows = [
        {"index": place, "embedding": [2.0, float(len(text))]}
        for place, text in enumerate(body["input"])
    ]
    return told({"data": rows[::-1], "usage": {"total_tokens": 7}})


def test_an_endpoint_is_asked_in_bounded_calls_and_answers_in_order(asking: Asking) -> None:
    texts = ["a" * (1 + number % 50) for number in range(2 * MOST_TEXTS + 3)]
    with model_endpoint(lambda _path, body: vectors(body)) as endpoint:
        found = asking(endpoint.url).embed([*texts, "x" * (2 * MOST_CHARACTERS), "  "])
    assert [len(body["input"]) for body in endpoint.asked.bodies] == [MOST_TEXTS, MOST_TEXTS, 5]
    assert {path.rpartition("/")[2] for path in endpoint.asked.paths} == {"embeddings"}
    assert {body["model"] for body in endpoint.asked.bodies} == {"vectors"}
    assert len(endpoint.asked.bodies[-1]["input"][-2]) == MOST_CHARACTERS
    assert endpoint.asked.bodies[-1]["input"][-1].strip()
    for text, vector in zip(texts, found, strict=False):
        assert vector.dtype == np.float32
        assert math.isclose(np.linalg.norm(vector), 1, rel_tol=1e-5)
        assert math.isclose(vector[1] / vector[0], len(text) / 2, rel_tol=1e-5)


def test_nothing_is_asked_for_no_texts(asking: Asking) -> None:
    with model_endpoint([refused("never", 500)]) as endpoint:
        assert asking(endpoint.url).embed([]) == []
    assert not endpoint.asked


def row(embedding: object, **changes: Any) -> Told:
    return told({"data": [{"index": 0, "embedding": embedding, **changes}]})


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (refused("No such key", 401), ConfigurationError, "FLEET_EMBEDDING_API_KEY"),
        (refused("No such model", 404), ConfigurationError, "FLEET_EMBEDDING_MODEL"),
        (refused("Too long", 400), PermanentError, "Too long"),
        (refused("Slow down", 429, Retry_After="30"), Unavailable, "429"),
        (refused("Down", 503), Unavailable, "503"),
        (told({"data": []}), Unavailable, "0 embeddings for 1 texts"),
        (told({"object": "list"}), Unavailable, "0 embeddings for 1 texts"),
        (told([1]), Unavailable, "0 embeddings for 1 texts"),
        (row([1.0], index=3), Unavailable, "1 embeddings for 1 texts"),
        (row([1.0], index=[]), Unavailable, "1 embeddings for 1 texts"),
        (row(["a"]), Unavailable, "no list of numbers"),
        (row(None), Unavailable, "no list of numbers"),
        (row([[1.0], [2.0]]), Unavailable, "no list of numbers"),
        (row([]), Unavailable, "without a length"),
        (row([0.0, 0.0]), Unavailable, "without a length"),
        (row([10**400]), Unavailable, "no list of numbers"),
        (row([float("nan"), 1.0]), Unavailable, "without a length"),
        (row([1e200, 1.0]), Unavailable, "without a length"),
        (Told(parts=[b"<html>"]), Unavailable, "not JSON"),
        (Told(parts=[b'{"data": ['], ends=False), Unavailable, "broke off"),
    ],
)
def test_a_bad_answer_is_an_error_of_its_class(
    asking: Asking, answer: Told, error: type[FleetError], words: str
) -> None:
    with model_endpoint([answer]) as endpoint, pytest.raises(error, match=words):
        asking(endpoint.url).embed(["Where is my order?"])


def test_a_short_blip_is_tried_once_more_and_a_long_one_is_not(asking: Asking) -> None:
    blip = refused("again", 503, Retry_After="0.01")
    with model_endpoint([blip, row([1.0])]) as endpoint:
        assert len(asking(endpoint.url).embed(["a"])) == 1
    with (
        model_endpoint([refused("later", 503, Retry_After="9"), row([1.0])]) as endpoint,
        pytest.raises(Unavailable),
    ):
        asking(endpoint.url).embed(["a"])
    assert len(endpoint.asked) == 1


def test_an_answer_that_does_not_come_is_not_waited_for(asking: Asking) -> None:
    with (
        model_endpoint([Told(parts=[b"{}"], wait=1)]) as endpoint,
        pytest.raises(TimedOut),
    ):
        asking(endpoint.url, embedding_timeout=0.1).embed(["a"])


def test_an_endpoint_that_fails_is_left_alone(asking: Asking) -> None:
    with model_endpoint([refused("down", 503, Retry_After="9")]) as endpoint:
        embedder = asking(endpoint.url, Breakers(failures=2))
        for _ in range(2):
            with pytest.raises(Unavailable):
                embedder.embed(["a"])
        with pytest.raises(BreakerOpen):
            embedder.embed(["a"])
    assert len(endpoint.asked) == 2


def test_vectors_of_another_length_are_refused(asking: Asking) -> None:
    with model_endpoint([row([1.0, 2.0]), row([1.0, 2.0, 3.0])]) as endpoint:
        embedder = asking(endpoint.url)
        embedder.embed(["a"])
        with pytest.raises(Unavailable, match="another model answers"):
            embedder.embed(["a"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"embedding": "endpoint"}, "FLEET_EMBEDDING_MODEL"),
        ({"embedding_model": "m"}, "OPENAI_API_KEY"),
        ({"embedding_model": "m", "embedding_base_url": "http://x"}, "FLEET_EMBEDDING_API_KEY"),
    ],
)
def test_what_is_not_set_is_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        embedder_of(Settings(openai_api_key=None, **changes))


def test_without_the_packages_words_serve_and_local_names_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(embeddings, "NEEDED", ("no_such_package",))
    assert embedder_of(Settings()).name.startswith("lexical")
    with pytest.raises(ConfigurationError, match="local-embeddings"):
        embedder_of(Settings(embedding="local"))


def test_words_tell_texts_apart_and_rare_ones_count_more() -> None:
    texts = ["please refund my order", "please cancel my order", "please send my invoice"]
    plain, fitted = LexicalEmbedder(), LexicalEmbedder(texts)
    assert plain.name != fitted.name
    assert fitted.name == LexicalEmbedder(texts[::-1]).name
    told_apart = []
    for embedder in (plain, fitted):
        asked, same, other = embedder.embed(["refund my order", texts[0], texts[1]])
        assert asked @ same > asked @ other
        told_apart.append((asked @ same) - (asked @ other))
    assert told_apart[1] > told_apart[0]


@pytest.mark.parametrize("text", ["", "  ", "?!", "\ud800", "\x00", "漢字", "a" * 10_000, "🙂" * 9])
def test_any_text_has_a_vector(text: str) -> None:
    assert_unit(LexicalEmbedder().embed([text]))


@NEEDS_LOCAL
def test_the_local_model_knows_meanings_from_every_slot() -> None:
    embedder = LocalEmbedder()
    texts = [
        "Where is my parcel?",
        "My package has not arrived",
        "Reset my password",
        "",
        "a" * 99_999,
    ]
    first = embedder.embed(texts)
    assert_unit(first)
    assert first[0] @ first[1] > first[0] @ first[2] + 0.2
    for alone, vector in zip(texts, first, strict=True):
        assert embedder.embed([alone])[0] @ vector > 0.9999
    found: list[Sequence[Any]] = []
    threads = [Thread(target=lambda: found.append(embedder.embed(texts[:3]))) for _ in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(found) == 6
    assert all(np.allclose(each, first[:3], atol=1e-5) for each in found)


@NEEDS_LOCAL
def test_a_file_of_other_content_is_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "changed_model").mkdir()
    (tmp_path / "changed_model/__init__.py").touch()
    (tmp_path / "changed_model/model.onnx").write_bytes(b"other weights")
    monkeypatch.syspath_prepend(tmp_path)
    file = ("changed_model", "model.onnx")
    monkeypatch.setitem(local_embeddings._SHA256, file, "0" * 64)
    monkeypatch.setattr(local_embeddings, "_MODEL", file)
    with pytest.raises(ConfigurationError, match=r"is not the file that the fleet knows.*install"):
        LocalEmbedder().embed(["a"])


def assert_unit(found: Sequence[Any]) -> None:
    for each in found:
        assert each.dtype == np.float32
        assert math.isclose(np.linalg.norm(each), 1, rel_tol=1e-5)
