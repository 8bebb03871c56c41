"""What the router says of a request, in plain values: no package is needed to read it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Zone = Literal["sure", "unsure", "out_of_scope", "unknown"]
"""Sure: the agent gets the request, and no model is asked. Unsure: a model chooses. Out of scope:
a person looks. Unknown: nothing could be said, and a model chooses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """What a request wants, as the examples name it. `probability` is calibrated, from 0 to 1.

    `cosine` is that of the nearest example, from -1 to 1.
    """

    agent: str
    intent: str
    probability: float
    cosine: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Which agent a request is most likely for, and whether that is enough to act on.

    `score` is the support that the examples give to the agent, times the nearest one's cosine; it
    is what the bounds are about. A bound is None where the examples are too few to set it. `why`
    says what kept the router from a verdict.
    """

    zone: Zone
    agent: str | None = None
    probability: float = 0.0
    cosine: float = 0.0
    score: float = 0.0
    intent: str | None = None
    intent_probability: float = 0.0
    sure_above: float | None = None
    out_below: float | None = None
    why: str | None = None

    def as_record(self) -> dict[str, Any]:
        """The journal's form. The agent stands under `likely`: it need not become the task's."""
        numbers: Mapping[str, float | None] = {
            "probability": self.probability,
            "cosine": self.cosine,
            "score": self.score,
            "sure_above": self.sure_above,
            "out_below": self.out_below,
        }
        words = {"likely": self.agent, "intent": self.intent, "why": self.why}
        return {
            "by": "router",
            "zone": self.zone,
            **{name: round(value, 4) for name, value in numbers.items() if value is not None},
            **{name: value for name, value in words.items() if value is not None},
        }


Route = Callable[[str], Verdict]
"""Says where a text should go; never raises, for a model can always choose instead."""
