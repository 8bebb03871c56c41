"""Real customer messages: half as examples that an agent has, half as what customers send."""

import csv
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fleet_workers.models.embeddings import Embedder
from fleet_workers.routing.examples import Labelled
from fleet_workers.routing.intents import IntentRouter
from fleet_workers.routing.port import SURE_OF_INTENT

_FOLDER = Path(__file__).parents[3] / "shared/data/intent"
_FILES = ("banking77_train.csv", "bitext_support.csv")
_TEXTS = 4000  # of a corpus, at most: embedding one takes 5 to 10 ms
_AGENT = "support"
_NUMBER = re.compile(r"\S*\d\S*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What a customer wrote, what was meant, and the identifiers and names in it."""

    text: str
    intent: str
    entity: str = ""

    @property
    def wish(self) -> tuple[str, str, tuple[str, ...]]:
        """Equal for messages that one plan is right for."""
        numbers = sorted(each.strip("#$.,:;?!").casefold() for each in _NUMBER.findall(self.text))
        return self.intent, re.sub(r"\W", "", self.entity.casefold()), tuple(numbers)


@dataclass(slots=True)
class Corpus:
    """Messages in the order in which they come, with their vectors, and what is known before."""

    name: str
    examples: list[Message]
    sent: list[Message]
    vectors: dict[str, Any] = field(default_factory=dict)

    def embed(self, embedder: Embedder) -> None:
        """Embed all texts at once, short ones together."""
        texts = sorted({each.text for each in [*self.examples, *self.sent]}, key=len)
        for start in range(0, len(texts), 32):
            some = texts[start : start + 32]
            self.vectors.update(zip(some, embedder.embed(some), strict=True))


def missing_files() -> list[str]:
    """Names of the data sets that are not there."""
    return [each for each in _FILES if not (_FOLDER / each).is_file()]


def load_corpora() -> list[Corpus]:
    """bitext and banking77, halved by chance; texts that stand twice are kept once."""
    return [_bitext(), _banking()]


def _bitext() -> Corpus:
    rows = _rows("bitext_support.csv")
    messages = [
        Message(text=row["instruction"], intent=row["intent"], entity=row["entity_value"])
        for row in rows
    ]
    return _halved("bitext", messages)


def _banking() -> Corpus:
    rows = _rows("banking77_train.csv")
    messages = [Message(text=row["text"], intent=row["category"]) for row in rows]
    return _halved("banking77", messages)


def _halved(name: str, messages: Sequence[Message]) -> Corpus:
    chosen = list({each.text.strip(): each for each in messages}.values())
    chosen = [replace(each, text=each.text.strip()) for each in chosen]
    random.Random(6).shuffle(chosen)
    chosen = chosen[:_TEXTS]
    half = len(chosen) // 2
    return Corpus(name=name, examples=chosen[:half], sent=chosen[half:])


def _rows(name: str) -> list[dict[str, str]]:
    with (_FOLDER / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@dataclass(frozen=True, slots=True)
class Looked:
    """Vectors that were made before."""

    vectors: dict[str, Any]
    name: str

    def embed(self, texts: Sequence[str]) -> list[Any]:
        return [self.vectors[each] for each in texts]

    def close(self) -> None:
        """Nothing is open."""


class Router:
    """The fleet's own router, trained on the examples; each text is asked about once."""

    def __init__(self, corpus: Corpus, embedder: Embedder) -> None:
        looked = Looked(corpus.vectors, embedder.name)
        examples = [
            Labelled(text=each.text, agent=_AGENT, intent=each.intent.replace("?", ""))
            for each in corpus.examples
        ]
        self._model = IntentRouter.train(examples, embedder=looked)
        self._found: dict[str, str | None] = {}

    def intent(self, text: str) -> str | None:
        """The intent, where the router is nearly sure; else None."""
        if text not in self._found:
            found = self._model.intent(text, agent=_AGENT)
            sure = found is not None and found.probability >= SURE_OF_INTENT
            self._found[text] = found.intent if found is not None and sure else None
        return self._found[text]
