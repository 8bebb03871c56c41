"""What came of a task: the value that a producer gets."""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from fleet_contracts.states import TaskState


class OutcomeKind(StrEnum):
    """How a finished run ended."""

    ANSWERED = "answered"
    """The agent did what was asked, or explained why it cannot be done."""
    ASKED = "asked"
    """The agent needs something from the customer; the next task of the session goes on."""
    REVIEW = "review"
    """A person must decide; `reason` says why."""
    REJECTED = "rejected"
    """A person refused what the agent proposed, or a budget was used up; `reason` says which."""
    DEAD = "dead"
    """The fleet gave up; the task is among the dead letters with its reason."""
    CANCELLED = "cancelled"
    """A later task with the same debounce key came before this one ran; `reason` names it."""


class ReviewKind(StrEnum):
    """Why a person must look."""

    LOW_CONFIDENCE = "low_confidence"
    APPROVAL = "approval"
    OUT_OF_SCOPE = "out_of_scope"
    UNKNOWN_TOOL = "unknown_tool"
    INVALID_PLAN = "invalid_plan"
    UNGROUNDED = "ungrounded"
    IN_DOUBT = "in_doubt"
    OVER_BUDGET = "over_budget"
    SUSPICIOUS = "suspicious"
    TOOL_AWAY = "tool_away"
    SAMPLED = "sampled"
    """A finished task, drawn by chance to see how often the agents are right."""
    FLAGGED = "flagged"
    """A finished task whose answer somebody complained about."""


class Outcome(BaseModel):
    """The result of a task's run so far.

    `confidence` is from 0 to 1, or None where no answer was reached. `model` names the model
    that gave the last plan; `offline` is true where the built-in offline model did. `replaced_by`
    is the task that runs in place of a debounced one.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: OutcomeKind
    answer: str | None = None
    confidence: Annotated[float, Field(ge=0, le=1)] | None = None
    reason: str | None = None
    review_kind: ReviewKind | None = None
    tools_used: tuple[str, ...] = ()
    model: str | None = None
    offline: bool = False
    cost_usd: Decimal | None = None
    replaced_by: UUID | None = Field(default=None, exclude_if=lambda task_id: task_id is None)


class TaskView(BaseModel):
    """A task as its producer sees it (the body of `GET /v1/tasks/{id}`).

    `due_at` is when a task that waits (queued, put off; or retrying) goes on.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: UUID
    tenant: str
    agent: str
    requested_agent: str
    release: str | None = None
    state: TaskState
    customer: str | None = None
    session_id: str | None = None
    attempts: int = 0
    due_at: AwareDatetime | None = None
    deadline: AwareDatetime | None = None
    created_at: AwareDatetime
    started_at: AwareDatetime | None = None
    finished_at: AwareDatetime | None = None
    outcome: Outcome | None = None
    last_error: dict[str, Any] | None = None
    metadata: dict[str, str] = Field(default_factory=dict)

    @property
    def settled(self) -> bool:
        """True once nothing more happens by itself: final, dead, or waiting for a person."""
        return self.state not in {TaskState.QUEUED, TaskState.RUNNING, TaskState.RETRYING}
