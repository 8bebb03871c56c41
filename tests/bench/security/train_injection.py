# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy>=2.4", "scikit-learn>=1.9"]
# ///
"""Trains the weights of the injection score.

    deploy/uv.sh run --script tests/bench/security/train_injection.py

What it learns from lies in ../shared/data or in the folder that DATA names. It prints how many
injections are found at one harmless prompt in a hundred, in five-fold cross-validation that
keeps variants of one prompt together; the threshold comes from there.
"""

import json
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zlib import compress

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

sys.path.insert(0, str(Path(__file__).parents[3] / "workers"))
sys.path.insert(0, str(Path(__file__).parents[2]))

from bench.security.injection_texts import Prompt, customer_messages, mails, training_prompts
from bench.security.letters import make_letter
from fleet_workers.rails.injection_features import (
    BUCKETS,
    Places,
    part_places,
    windows_of,
    word_places,
    words_of,
)

_INVERSE_PENALTY = 20.0  # the others tried, 3 to 60, and n-grams of 1 or 3 words, gave no more
_PARTS_SHARE = 0.5
_CUSTOMER_WEIGHT = 0.1
_LETTERS = 3_000
_LETTER_WEIGHT = 0.3
_PLANTED = 4_000
_PLANTED_IN_LETTERS = 0.5
_PLANTED_WEIGHT = 0.3
_MOST_AROUND = 8  # words on each side
_LONGEST_PLANTED = 300
_FALSE_POSITIVES = 0.01
_TARGET = Path(__file__).parents[2] / "workers/fleet_workers/rails/injection_weights.bin"

Matrix = sparse.csr_matrix
Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A linear model over both tables."""

    weights: Vector
    bias: float

    def sums(self, texts: Sequence[str]) -> Vector:
        """For each text that of its most suspicious window, as at run time."""
        windows = [
            (number, words, handicap)
            for number, text in enumerate(texts)
            for words, handicap in windows_of(words_of(text))
        ]
        sums = _matrix([words for _, words, _ in windows]) @ self.weights + self.bias
        highest = np.full(len(texts), -np.inf)
        lowered = sums - np.array([handicap for _, _, handicap in windows])
        np.maximum.at(highest, [number for number, _, _ in windows], lowered)
        return highest


@dataclass(frozen=True, slots=True, kw_only=True)
class Harmless:
    """Texts to learn from that hold no injection."""

    customers: list[str]
    mails: list[str]


def main() -> None:
    """Cross-validate, train on all, and write the weights beside the code that reads them."""
    prompts = training_prompts()
    harmless = Harmless(customers=customer_messages(), mails=mails(held_out=False))
    margin = _cross_validate(prompts, harmless)
    size = _write(_fit(prompts, harmless), margin)
    print(f"wrote {_TARGET.name}: {size:,} bytes, margin {margin:.3f}")


def _cross_validate(prompts: list[Prompt], harmless: Harmless) -> float:
    """The margin that one in a hundred harmless prompts reaches in folds it was not trained on."""
    harmful = np.array([each.injection for each in prompts])
    sums = np.zeros(len(prompts))
    folds = GroupKFold(5).split(prompts, groups=[each.group for each in prompts])
    for known, unseen in folds:
        fit = _fit([prompts[each] for each in known], harmless)
        sums[unseen] = fit.sums([prompts[each].text for each in unseen])
    margin = float(np.quantile(sums[~harmful], 1 - _FALSE_POSITIVES, method="higher"))
    print(f"cross-validation: {(sums[harmful] > margin).mean():.1%} of injections found at 1 %")
    return margin


def _fit(prompts: list[Prompt], harmless: Harmless) -> Fit:
    chance = random.Random(5)
    short = [each.text for each in prompts if each.injection and len(each.text) < _LONGEST_PLANTED]
    letters = [make_letter(chance, harmless.customers) for _ in range(_LETTERS)] + harmless.mails
    planted = [_plant(chance, chance.choice(short), harmless.customers) for _ in range(_PLANTED)]
    parts = (
        ([words_of(each.text) for each in prompts], [each.injection for each in prompts], 1.0),
        ([words_of(each) for each in harmless.customers], False, _CUSTOMER_WEIGHT),
        (
            [part for each in letters for part, _ in windows_of(words_of(each))],
            False,
            _LETTER_WEIGHT,
        ),
        (planted, True, _PLANTED_WEIGHT),
    )
    model = LogisticRegression(C=_INVERSE_PENALTY, max_iter=400)
    model.fit(
        _matrix([words for texts, _, _ in parts for words in texts]),
        np.concatenate([np.broadcast_to(labels, len(texts)) for texts, labels, _ in parts]),
        sample_weight=np.concatenate([np.full(len(texts), weight) for texts, _, weight in parts]),
    )
    return Fit(weights=model.coef_[0], bias=float(model.intercept_[0]))


def _plant(chance: random.Random, bad: str, customers: list[str]) -> list[str]:
    """An injection among harmless words, so that these excuse nothing."""
    around = words_of(
        make_letter(chance, customers)
        if chance.random() < _PLANTED_IN_LETTERS
        else chance.choice(customers)
    )
    at = chance.randint(0, len(around))
    before, after = chance.randint(0, _MOST_AROUND), chance.randint(0, _MOST_AROUND)
    return [*around[max(0, at - before) : at], *words_of(bad), *around[at : at + after]]


def _matrix(windows: Sequence[Sequence[str]]) -> Matrix:
    words = _rows([word_places(each) for each in windows])
    parts = _rows([part_places(each) for each in windows])
    return sparse.hstack([words, _PARTS_SHARE * parts]).tocsr()


def _rows(places: list[Places]) -> Matrix:
    """Each a vector of length one."""
    counts = np.array([len(each) for each in places])
    columns = np.fromiter((place for each in places for place in sorted(each)), dtype=np.int32)
    values = np.repeat(1 / np.sqrt(np.maximum(counts, 1)), counts)
    return Matrix(
        (values, columns, np.concatenate([[0], np.cumsum(counts)])), shape=(len(places), BUCKETS)
    )


def _write(fit: Fit, margin: float) -> int:
    words, word_unit = _quantised(fit.weights[:BUCKETS])
    parts, part_unit = _quantised(fit.weights[BUCKETS:] * _PARTS_SHARE)
    head = {"word_unit": word_unit, "part_unit": part_unit, "bias": fit.bias, "margin": margin}
    packed = compress(words + parts, level=9)
    _TARGET.write_bytes(json.dumps(head).encode() + b"\n" + packed)
    return _TARGET.stat().st_size


def _quantised(weights: Vector) -> tuple[bytes, float]:
    unit = float(np.abs(weights).max()) / 127
    return np.round(weights / unit).astype(np.int8).tobytes(), unit


if __name__ == "__main__":
    main()
