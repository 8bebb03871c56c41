"""The states of a task and the only ways between them."""

from enum import StrEnum


class TaskState(StrEnum):
    """Where a task stands. `OPEN_STATES` are not final."""

    QUEUED = "queued"
    RUNNING = "running"
    RETRYING = "retrying"
    IN_REVIEW = "in_review"
    SUCCEEDED = "succeeded"
    REJECTED = "rejected"
    DEAD = "dead"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


TRANSITIONS: dict[TaskState, frozenset[TaskState]] = {
    TaskState.QUEUED: frozenset(
        {TaskState.RUNNING, TaskState.DEAD, TaskState.CANCELLED, TaskState.EXPIRED}
    ),
    TaskState.RUNNING: frozenset(
        {
            TaskState.SUCCEEDED,
            TaskState.REJECTED,
            TaskState.RETRYING,
            TaskState.IN_REVIEW,
            TaskState.DEAD,
            TaskState.QUEUED,
            TaskState.CANCELLED,
            TaskState.EXPIRED,
        }
    ),
    TaskState.RETRYING: frozenset(
        {TaskState.QUEUED, TaskState.DEAD, TaskState.CANCELLED, TaskState.EXPIRED}
    ),
    TaskState.IN_REVIEW: frozenset(
        {
            TaskState.QUEUED,
            TaskState.RUNNING,
            TaskState.SUCCEEDED,
            TaskState.REJECTED,
            TaskState.CANCELLED,
            TaskState.EXPIRED,
        }
    ),
    TaskState.DEAD: frozenset({TaskState.QUEUED}),
    TaskState.SUCCEEDED: frozenset(),
    TaskState.REJECTED: frozenset(),
    TaskState.CANCELLED: frozenset(),
    TaskState.EXPIRED: frozenset(),
}

OPEN_STATES = frozenset(
    {TaskState.QUEUED, TaskState.RUNNING, TaskState.RETRYING, TaskState.IN_REVIEW}
)
"""States in which a task may still change by itself; `dead` changes only by replay."""

SETTLED_STATES = frozenset(TaskState) - OPEN_STATES
"""States in which nothing more happens unless somebody replays the task."""


def may_follow(current: TaskState, following: TaskState) -> bool:
    """Tell whether a task in `current` may go to `following`."""
    return following in TRANSITIONS[current]
