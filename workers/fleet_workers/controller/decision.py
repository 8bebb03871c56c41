"""What the controller can decide: plain values, carried out by the loop."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fleet_contracts.outcome import Outcome, ReviewKind
from fleet_workers.controller.plan import Climb
from fleet_workers.models.asked_for import AskedFor
from fleet_workers.models.messages import Message
from fleet_workers.tools import Tool


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckInbound:
    """Look at the request before anything else sees it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """Fetch what was said before in this session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChooseAgent:
    """Let the router say whom a request is for; `text` hides personal data."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AskModel:
    """Ask the model for the next calls, or for the answer.

    `head` is what stands before every conversation of the release, as text: it is kept once.
    `placeholders` is the digest of the personal data that the messages hide. `asked_for` is None
    where the question is to be asked by itself. `difficulty` is what the tier was chosen by, where
    the agent's file leaves that open. A `climb` that is not to be had, because money or the larger
    model is away, makes way for `instead`.
    """

    messages: list[Message]
    tools: list[dict[str, Any]]
    tier: str
    head: str
    placeholders: str | None = None
    asked_for: AskedFor | None = None
    difficulty: float | None = None
    climb: Climb | None = None
    instead: "Finish | Park | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallTool:
    """Call a tool that passed every gate. `resumes` is the step that an earlier worker began.

    `allowed_by` is the review in which a person allowed this one call; it is used up by it.
    `gates` are the verdicts that let it pass; `beyond_limits` is set where a person has allowed
    it to pass the limits on money, `edited` where a person has changed the arguments.
    """

    plan: int
    index: int
    tool: Tool
    arguments: Mapping[str, Any]
    resumes: int | None = None
    allowed_by: str | None = None
    beyond_limits: bool = False
    edited: bool = False
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
    """Send the task to another agent's queue; `by` tells who chose it, model or router."""

    agent: str
    by: str


Decision = (
    CheckInbound
    | Recall
    | ChooseAgent
    | AskModel
    | CallTool
    | Refuse
    | Settle
    | Finish
    | Park
    | Reroute
)
