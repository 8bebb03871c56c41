"""Tasks that wait for a person: how they go on, or end, with what the person said."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, func, insert, null, select, update

from fleet_contracts.outcome import Outcome, OutcomeKind
from fleet_contracts.states import TaskState
from fleet_workers.store.tables import steps, tasks
from fleet_workers.telemetry.counting import count_ended


def lock_parked_task(connection: Connection, task_id: UUID) -> dict[str, Any] | None:
    """The envelope of a task that waits for a person, locked; None where it waits no more."""
    found: dict[str, Any] | None = connection.execute(
        select(tasks.c.envelope)
        .where(tasks.c.id == task_id, tasks.c.state == TaskState.IN_REVIEW)
        .with_for_update()
    ).scalar()
    return found


def add_decision_step(
    connection: Connection, task_id: UUID, name: str, result: Mapping[str, Any]
) -> None:
    """Put a decision at the end of the journal of a task whose row the caller has locked."""
    following = select(func.coalesce(func.max(steps.c.seq), -1) + 1).where(
        steps.c.task_id == task_id
    )
    epoch = select(tasks.c.epoch).where(tasks.c.id == task_id)
    connection.execute(
        insert(steps).values(
            task_id=task_id,
            seq=following.scalar_subquery(),
            epoch=epoch.scalar_subquery(),
            kind="review",
            name=name,
            state="done",
            request={},
            result=dict(result),
            finished_at=func.now(),
        )
    )


def queue_task(connection: Connection, task_id: UUID, *, agent: str | None = None) -> None:
    """Let a parked task go on, for another agent where one is named, with fresh attempts.

    The caller sends its message.
    """
    connection.execute(
        update(tasks)
        .where(tasks.c.id == task_id)
        .values(
            state=TaskState.QUEUED,
            agent=agent or tasks.c.agent,
            epoch=tasks.c.epoch + 1,
            attempts=0,
            deliveries=0,
            outcome=null(),
            woken_at=func.now(),
        )
    )


def end_task(connection: Connection, task_id: UUID, outcome: Outcome) -> None:
    """End a parked task with what a person said."""
    ended = {OutcomeKind.REJECTED: TaskState.REJECTED}.get(outcome.kind, TaskState.SUCCEEDED)
    agent = connection.execute(
        update(tasks)
        .where(tasks.c.id == task_id)
        .values(
            state=ended,
            epoch=tasks.c.epoch + 1,
            outcome=outcome.model_dump(mode="json"),
            finished_at=func.now(),
        )
        .returning(tasks.c.agent)
    ).scalar_one()
    count_ended(agent, ended)
