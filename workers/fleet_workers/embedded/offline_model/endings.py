"""The calls that a step may be: any tool's, and the three that end a plan."""

from dataclasses import dataclass
from typing import Any

from fleet_workers.models.control import ANSWER, ASK_CUSTOMER, HAND_OVER


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """The tool to call next."""

    name: str
    arguments: dict[str, Any]


def answer(text: str, confidence: float) -> Call:
    """End with a reply."""
    return Call(name=ANSWER, arguments={"text": text, "confidence": confidence})


def ask(question: str) -> Call:
    """End with a question to the customer."""
    return Call(name=ASK_CUSTOMER, arguments={"question": question})


def hand_over(reason: str) -> Call:
    """End by handing over to a person."""
    return Call(name=HAND_OVER, arguments={"reason": reason})


def confidence_of(strength: float, margin: float, lost: float = 0.0) -> float:
    """Confidence between 0.05 and 0.95 from how well the best tool fits and how far it leads."""
    fit = min(strength, 1.2) / 1.2
    lead = min(margin, 0.4) / 0.4
    return round(min(max(0.5 + 0.34 * fit + 0.16 * lead - lost, 0.05), 0.95), 2)
