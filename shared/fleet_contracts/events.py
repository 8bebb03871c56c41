"""What other services are told of tasks: events on the exchange `fleet.events`, and webhooks.

A reader must take fields and values that it does not know: new ones may come within a version.
"""

from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from fleet_contracts.outcome import OutcomeKind, TaskView
from fleet_contracts.states import TaskState

EVENTS_CONTENT_TYPE: Final = "application/cloudevents+json; charset=utf-8"
EVENT_SOURCE: Final = "/agent-fleet"
EVENT_TYPE_PREFIX: Final = "fleet.task."

TaskEventType = Literal[
    "task.queued",
    "task.running",
    "task.retrying",
    "task.in_review",
    "task.succeeded",
    "task.rejected",
    "task.dead",
    "task.cancelled",
    "task.expired",
]
"""What a webhook may ask to be told of a task: `task.` and the state that it came to."""


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class TaskChange(_Told):
    """A task has come to `state`. Nothing here was said by a customer or by a model.

    `seq` rises with each change of this task. `kind` tells how a run ended, `code` why a person is
    asked (a kind of review) or what failed (an error's code). `task` is the whole task as it stands
    at the time of sending, its answer included; null where the reader gets no such content.
    """

    task_id: UUID
    seq: Annotated[int, Field(ge=0)]
    tenant: str
    agent: str
    state: TaskState
    at: AwareDatetime
    attempts: Annotated[int, Field(ge=0)] = 0
    kind: OutcomeKind | None = None
    code: str | None = None
    task: TaskView | None = None


class TaskCloudEvent(_Told):
    """A change of a task as CloudEvents 1.0 in structured JSON.

    Source: CloudEvents 1.0.2, with the extensions "sequence" and "distributed tracing". The same
    `id` may come more than once: it is the same event. `subject` is the task's id. `sequence` rises
    with each change of one task.
    """

    specversion: Literal["1.0"] = "1.0"
    id: Annotated[str, Field(min_length=1)]
    source: str = EVENT_SOURCE
    type: Annotated[str, Field(pattern=r"^fleet\.task\.[a-z_]+$")]
    subject: str
    time: AwareDatetime
    datacontenttype: Literal["application/json"] = "application/json"
    sequence: str
    traceparent: str | None = Field(default=None, exclude_if=lambda value: value is None)
    data: TaskChange

    @classmethod
    def of(cls, change: TaskChange, *, traceparent: str | None) -> Self:
        """Wrap a change."""
        values: dict[str, Any] = {
            "id": event_id(change),
            "type": f"{EVENT_TYPE_PREFIX}{change.state}",
            "subject": str(change.task_id),
            "time": change.at,
            "sequence": str(change.seq),
            "traceparent": traceparent,
            "data": change,
        }
        return cls.model_validate(values)


class TaskEvent(_Told):
    """Body of a webhook about a task. `timestamp` is when it happened."""

    type: TaskEventType
    timestamp: AwareDatetime
    data: TaskChange


def event_id(change: TaskChange) -> str:
    """The id of a change, the same however often it is told."""
    return f"{change.task_id}.{change.seq}"
