"""Real messages with their intents, and a stream of tasks drawn from them by Zipf's law."""

import csv
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

FOLDER: Final = Path(__file__).parents[4] / "shared/data/intent"
_BANKING: Final = "banking77_train.csv"
_BITEXT: Final = "bitext_support.csv"
_CUSTOMERS: Final = 400
_SEED: Final = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What a customer wrote. `entity` is the order or invoice that it names, or empty."""

    text: str
    intent: str
    entity: str = ""

    @property
    def right_answer(self) -> str:
        """The answer that a good run gives: the intent's article, for this very order."""
        return answer_for(self.intent, self.entity)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A task of the stream."""

    message: Message
    customer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """Messages that models learn from, and others that customers send."""

    known: Sequence[Message]
    sent: Sequence[Message]


def answer_for(intent: str, entity: str) -> str:
    """An intent's article in words, with the order or invoice that it is for."""
    words = f"Please read our page on {intent.replace('_', ' ')}."
    return f"{words} It is for {entity}." if entity else words


def load_corpus() -> Corpus:
    """Both data sets, halved by chance; texts that stand twice are kept once.

    Skips, where the data is missing.
    """
    missing = [name for name in (_BANKING, _BITEXT) if not (FOLDER / name).is_file()]
    if missing:
        pytest.skip(f"{', '.join(missing)} is missing in ../shared/data/intent.")
    found = {each.text: each for each in (*_banking(), *_bitext())}
    messages = sorted(found.values(), key=lambda each: each.text)
    random.Random(_SEED).shuffle(messages)
    half = len(messages) // 2
    return Corpus(known=messages[:half], sent=messages[half:])


def draw(corpus: Corpus, *, tasks: int, messages: int, exponent: float) -> list[Arrival]:
    """Tasks whose message of rank r is chosen with a weight of `1 / r ** exponent`."""
    chance = random.Random(_SEED)
    chosen = list(corpus.sent[:messages])
    weights = [1 / rank**exponent for rank in range(1, len(chosen) + 1)]
    return [
        Arrival(message=message, customer=f"cus_{chance.randrange(_CUSTOMERS)}")
        for message in chance.choices(chosen, weights, k=tasks)
    ]


def _banking() -> Iterator[Message]:
    with (FOLDER / _BANKING).open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield Message(text=row["text"].strip(), intent=_name(row["category"]))


def _bitext() -> Iterator[Message]:
    with (FOLDER / _BITEXT).open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            numbered = row["entity_value"] if any(map(str.isdigit, row["entity_value"])) else ""
            yield Message(
                text=row["instruction"].strip(), intent=_name(row["intent"]), entity=numbered
            )


def _name(intent: str) -> str:
    """As the name of an intent in an agent's examples."""
    return re.sub(r"[^a-z0-9_]", "", intent.lower())
