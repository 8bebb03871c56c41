"""What the controller can decide: plain values, carried out by the loop."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fleet_contracts.outcome import Outcome, ReviewKind
from fleet_workers.models.messages import Message
from fleet_workers.tools import Tool


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckInbound:
    """Look at the request before anything else sees it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """Fetch what was said before in this session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskModel:
    """Ask the model for the next calls, or for the answer.

    `head` is what stands before every conversation of the release, as text: it is kept once.
    `placeholders` is the digest of the personal data that the messages hide.
    """

    messages: list[Message]
    tools: list[dict[str, Any]]
    tier: str
    head: str
    placeholders: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallTool:
    """Call a tool that passed every gate. `resumes` is the step that an earlier worker began.

    `allowed_by` is the review in which a person allowed this one call; it is used up by it.
    `gates` are the verdicts that let it pass; `beyond_limits` is set where a person has allowed
    it to pass the limits on money.
    """

    plan: int
    index: int
    tool: Tool
    arguments: Mapping[str, Any]
    resumes: int | None = None
    allowed_by: str | None = None
    beyond_limits: bool = False
    gates: Sequence[Mapping[str, str]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """Do not make a call, and tell the model why."""

    plan: int
    index: int
    gate: str
    reason: str
    gates: Sequence[Mapping[str, str]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle:
    """Note what a person found out about a call in doubt: it was not done."""

    step: int
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """End the task with an outcome. `evidence` is what the confidence was made of."""

    outcome: Outcome
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Park:
    """Put the task before a person. `proposal` is what the agent would do or say."""

    kind: ReviewKind
    reason: str
    proposal: Mapping[str, Any] = field(default_factory=dict)
    evidence: Mapping[str, Any] = field(default_factory=dict)
    confidence: float | None = None
    gates: Sequence[Mapping[str, str]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reroute:
    """Send the task to another agent's queue."""

    agent: str


Decision = CheckInbound | Recall | AskModel | CallTool | Refuse | Settle | Finish | Park | Reroute
