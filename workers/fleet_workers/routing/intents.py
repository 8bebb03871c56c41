"""The router: learns from labelled requests whom a text is for and what it wants."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import numpy as np

from fleet_workers.models.embeddings import Embedder
from fleet_workers.routing.examples import Labelled, spread, words_of
from fleet_workers.routing.regression import fit, loss
from fleet_workers.routing.space import Likeness, Space
from fleet_workers.routing.thresholds import Thresholds, set_thresholds
from fleet_workers.routing.verdict import Intent, Verdict, Zone

MOST_EXAMPLES: Final = 4000
"""More are thinned out evenly: training takes the cube of their number, 4,000 about ten seconds."""

_WIDTHS: Final = (2.0, 4.0, 8.0, 16.0)  # embedding models differ in how near "near" is
_WIDTHS_TRIED_ON: Final = 1000
_KNOWN_WORDS: Final = 0.5
"""Of another language, or of nothing but mistakes, the router cannot tell what is foreign in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """An example that is like a text."""

    text: str
    agent: str
    intent: str | None
    cosine: float


class IntentRouter:
    """Kernel ridge regression over words and meanings; safe to use from every slot.

    The same examples and embedder give the same verdicts in every process. About 10 ms of one core
    for a message with the local model, under 1 ms by words alone.
    """

    def __init__(
        self,
        examples: Sequence[Labelled],
        space: Space,
        likeness: Likeness,
        width: float,
    ) -> None:
        self._examples = examples
        self._space = space
        self._width = width
        self._words = frozenset(word for each in examples for word in words_of(each.text))
        groups = _groups(examples)
        self._agents, self._intents = fit(likeness.kernel(width), _labellings(examples), groups)
        self._owners = [name.partition("/")[0] for name in self._intents.names]
        self.thresholds: Final = self._set_thresholds(likeness, groups)

    @classmethod
    def train(
        cls,
        examples: Sequence[Labelled],
        *,
        embedder: Embedder | None = None,
        most_examples: int = MOST_EXAMPLES,
    ) -> Self:
        """Learn from examples, of which there must be one at least.

        Raises:
            TransientError: The endpoint for embeddings is away.
            ConfigurationError: The embedder cannot be used; the text names the remedy.
        """
        chosen = spread(examples, most_examples)
        space = Space([each.text for each in chosen], embedder)
        likeness = space.within()
        return cls(chosen, space, likeness, _best_width(likeness, chosen))

    @property
    def name(self) -> str:
        """The embedder that tells meanings."""
        return self._space.name

    @property
    def size(self) -> int:
        """How many examples it learned from."""
        return len(self._examples)

    @property
    def temperature(self) -> float:
        """What scores are divided by to become the logits of the agents' probabilities."""
        return self._agents.temperature

    def route(self, text: str) -> Verdict:
        """Where a text should go.

        Raises:
            TransientError: The endpoint for embeddings is away.
        """
        return self.route_all([text])[0]

    def route_all(self, texts: Sequence[str]) -> list[Verdict]:
        """Where each of many texts should go; raises as `route`."""
        likeness = self._space.likeness(texts)
        kernel = likeness.kernel(self._width)
        scores, nearest = self._agents.scores(kernel), likeness.cosine.max(axis=1)
        sure = self._agents.probabilities(scores)
        wants = self._intents.scores(kernel)
        return [
            self._verdict(text, scores[row], sure[row], float(nearest[row]), wants[row])
            for row, text in enumerate(texts)
        ]

    def intent(self, text: str, *, agent: str | None = None) -> Intent | None:
        """What a text wants, of what that agent or any is asked for; None where none is labelled.

        Raises:
            TransientError: The endpoint for embeddings is away.
        """
        return self.intents([text], agent=agent)[0]

    def intents(self, texts: Sequence[str], *, agent: str | None = None) -> list[Intent | None]:
        """What each of many texts wants; as `intent`, and raises as that does."""
        likeness = self._space.likeness(texts)
        scores, nearest = self._intents.scores(likeness.kernel(self._width)), likeness.cosine
        return [
            self._intent(scores[row], float(nearest[row].max()), agent) for row in range(len(texts))
        ]

    def neighbours(self, text: str, count: int) -> list[Neighbour]:
        """The examples that are most like a text, the nearest first; raises as `route`."""
        cosines = self._space.likeness([text]).cosine[0]
        return [
            Neighbour(
                text=self._examples[place].text,
                agent=self._examples[place].agent,
                intent=self._examples[place].intent,
                cosine=float(cosines[place]),
            )
            for place in np.argsort(-cosines, kind="stable")[:count]
        ]

    def _set_thresholds(self, likeness: Likeness, groups: Sequence[Any]) -> Thresholds:
        """How sure is sure by what is wanted often; what is foreign by what nobody wanted yet."""
        held_out, unseen = self._agents.held_out, self._agents.unseen
        cosines = likeness.cosine.copy()
        np.fill_diagonal(cosines, -1.0)
        scores = _score(held_out.max(axis=1), cosines.max(axis=1))
        for group in groups:
            cosines[np.ix_(group, group)] = -1.0
        return set_thresholds(
            self._agents.labels,
            held_out.argmax(axis=1),
            scores,
            _score(unseen.max(axis=1), cosines.max(axis=1)),
        )

    def _verdict(
        self, text: str, scores: Any, probabilities: Any, cosine: float, wants: Any
    ) -> Verdict:
        place = int(scores.argmax())
        agent = self._agents.names[place]
        found = self._best_intent(wants, agent)
        verdict = Verdict(
            zone="unsure",
            agent=agent,
            probability=float(probabilities[place]),
            cosine=cosine,
            score=float(_score(scores[place], cosine)),
            intent=found[0].partition("/")[2] if found else None,
            intent_probability=found[1] if found else 0.0,
            sure_above=self.thresholds.sure_above,
            out_below=self.thresholds.out_below,
        )
        return replace(verdict, zone=self._zone(text, verdict))

    def _intent(self, scores: Any, cosine: float, agent: str | None) -> Intent | None:
        found = self._best_intent(scores, agent)
        if found is None:
            return None
        name, probability = found
        owner, _, intent = name.partition("/")
        return Intent(agent=owner, intent=intent, probability=probability, cosine=cosine)

    def _best_intent(self, scores: Any, agent: str | None) -> tuple[str, float] | None:
        """The likeliest intent of that agent, or of any, as `agent/intent`, and how likely."""
        places = [place for place, owner in enumerate(self._owners) if agent in {None, owner}]
        if not places:
            return None
        probabilities = self._intents.probabilities(scores[None, places])[0]
        best = int(probabilities.argmax())
        return self._intents.names[places[best]], float(probabilities[best])

    def _zone(self, text: str, verdict: Verdict) -> Zone:
        if verdict.sure_above is not None and verdict.score > verdict.sure_above:
            return "sure"
        foreign = verdict.out_below is not None and verdict.score < verdict.out_below
        return "out_of_scope" if foreign and self._can_read(text) else "unsure"

    def _can_read(self, text: str) -> bool:
        words = words_of(text)
        known = sum(word in self._words for word in words)
        return bool(words) and known / len(words) >= _KNOWN_WORDS


def _labellings(examples: Sequence[Labelled]) -> list[list[str | None]]:
    return [
        [each.agent for each in examples],
        [f"{each.agent}/{each.intent}" if each.intent else None for each in examples],
    ]


def _groups(examples: Sequence[Labelled]) -> list[Any]:
    """The places of the examples of each intent, where there are several."""
    places: dict[tuple[str, str], list[int]] = {}
    for place, each in enumerate(examples):
        if each.intent:
            places.setdefault((each.agent, each.intent), []).append(place)
    return [np.array(group) for group in places.values() if len(group) > 1]


def _best_width(likeness: Likeness, examples: Sequence[Labelled]) -> float:
    """The width under which held-out examples are told apart best."""
    if likeness.meanings is None:
        return _WIDTHS[0]
    step = -(-len(examples) // _WIDTHS_TRIED_ON)
    few = Likeness(likeness.words[::step, ::step], likeness.meanings[::step, ::step])
    labellings = _labellings(examples[::step])[:1]
    return min(_WIDTHS, key=lambda width: loss(fit(few.kernel(width), labellings, [])[0]))


def _score(support: Any, cosine: Any) -> Any:
    return np.maximum(support, 0.0) * np.maximum(cosine, 0.0)
