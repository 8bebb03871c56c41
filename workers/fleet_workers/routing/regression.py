"""Kernel ridge regression on class indicators, with exact leave-one-out scores.

What each example would get from a model that had not seen it follows from one matrix inverse
(Wahba 1990; Rifkin and Lippert, Notes on Regularized Least Squares, 2007), so thresholds and the
temperature (Guo et al., On Calibration of Modern Neural Networks, 2017) need no second training.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

_RIDGE: Final = 0.2
_TEMPERATURES: Final = np.geomspace(0.01, 2.0, 120)
_EXACT: Final = 2000  # up to so many examples are reckoned with in double precision


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """One way to class texts.

    `held_out` are the examples' own scores, each without itself; `unseen` those without any of
    its group.
    """

    names: tuple[str, ...]
    coefficients: Any
    held_out: Any
    unseen: Any
    labels: Any
    temperature: float

    def scores(self, kernel: Any) -> Any:
        """One row a text, one column a class: near 0 where no example is like the text."""
        return kernel @ self.coefficients

    def probabilities(self, scores: Any) -> Any:
        """Calibrated on the held-out scores; one row a text, one column a class."""
        return _softmax(scores / self.temperature)


def fit(
    kernel: Any, labellings: Sequence[Sequence[str | None]], groups: Sequence[Any]
) -> list[Head]:
    """A head for each labelling of the examples; who is None in one takes no side there.

    `groups` holds the places of the examples that go together.
    """
    size = len(kernel)
    regular = kernel.astype(np.float64 if size <= _EXACT else np.float32)
    regular[np.diag_indices(size)] += _RIDGE
    inverse = np.linalg.inv(regular)
    return [_head(inverse, labelling, groups) for labelling in labellings]


def loss(head: Head) -> float:
    """Mean negative log likelihood of the held-out labels, in nats."""
    return _loss(head.held_out, head.labels, head.temperature)


def _head(inverse: Any, labelling: Sequence[str | None], groups: Sequence[Any]) -> Head:
    names = tuple(sorted({each for each in labelling if each is not None}))
    places = {name: place for place, name in enumerate(names)}
    labels = np.array([places[each] if each is not None else -1 for each in labelling], dtype=int)
    wanted = np.zeros((len(labels), len(names)), dtype=inverse.dtype)
    known = np.flatnonzero(labels >= 0)
    wanted[known, labels[known]] = 1
    coefficients = inverse @ wanted
    held_out = wanted - coefficients / np.diag(inverse)[:, None]
    unseen = held_out.copy()
    for group in groups:
        without = np.linalg.solve(inverse[np.ix_(group, group)], coefficients[group])
        unseen[group] = wanted[group] - without
    temperature = min(_TEMPERATURES, key=lambda each: _loss(held_out, labels, each))
    return Head(
        names=names,
        coefficients=coefficients,
        held_out=held_out,
        unseen=unseen,
        labels=labels,
        temperature=float(temperature),
    )


def _loss(scores: Any, labels: Any, temperature: float) -> float:
    known = np.flatnonzero(labels >= 0)
    if not len(known):
        return 0.0
    found = _softmax(scores[known] / temperature)[np.arange(len(known)), labels[known]]
    return float(-np.log(np.maximum(found, 1e-12)).mean())


def _softmax(values: Any) -> Any:
    if not values.shape[1]:
        return values
    raised = np.exp(values - values.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)
