"""What a rule about an incident finds."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """A likely cause: what, from 0 to 1 how likely it is beside others, why, and what to do."""

    title: str
    score: float
    evidence: tuple[str, ...]
    remedy: str
