"""Chooses finished tasks to be judged: by strata, each with its rate, and by chance alone."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Literal
from uuid import UUID

from fleet_workers.desk_file import SamplingSection
from fleet_workers.review.novelty import NOVEL_FROM

Level = Literal["low", "middle", "high", "none"]
_SCALE: Final = 2**64


@dataclass(frozen=True, slots=True, kw_only=True)
class Stratum:
    """Tasks of one agent that are alike in confidence, novelty and where their plans came from.

    `level` is the third of the range from the agent's threshold up to 1 in which the confidence
    lies; `none` where an agent asked back, for a question has none. `cached` tells that a plan was
    a stored one.
    """

    level: Level
    novel: bool
    cached: bool = False

    def __str__(self) -> str:
        words = f"{self.level}/{'novel' if self.novel else 'familiar'}"
        return f"{words}/cached" if self.cached else words


def stratum_of(
    *, confidence: float | None, review_below: float, novelty: float | None, cached: bool = False
) -> Stratum:
    """Where a task belongs. What is not known to be novel counts as familiar."""
    novel = novelty is not None and novelty >= NOVEL_FROM
    return Stratum(level=_level(confidence, review_below), novel=novel, cached=cached)


def rate_of(section: SamplingSection, agent: str, stratum: Stratum) -> float:
    """The share of a stratum that is drawn, 0 to 1."""
    rate = section.by_agent.get(agent, section.share)
    if stratum.level == "low":
        rate *= section.unsure_times
    if stratum.novel:
        rate *= section.novel_times
    if stratum.cached:
        rate *= section.cached_times
    return min(1.0, rate)


def is_chosen(task_id: UUID, rate: float) -> bool:
    """Whether a task is drawn: the same answer always and everywhere.

    The digest of the id, read as a number from 0 to 1, lies under the rate: a higher rate draws
    the same tasks and more.
    """
    digest = sha256(b"fleet sample\0" + task_id.bytes).digest()[:8]
    return int.from_bytes(digest, "big") < rate * _SCALE


def _level(confidence: float | None, review_below: float) -> Level:
    if confidence is None:
        return "none"
    third = (1 - review_below) / 3
    if confidence < review_below + third:
        return "low"
    return "middle" if confidence < review_below + 2 * third else "high"
