"""Which finished tasks were drawn to be judged."""

from uuid import UUID

from sqlalchemy import Connection, insert, literal, select

from fleet_workers.store.desk_tables import samples
from fleet_workers.store.finished import EndedTask


def add(
    connection: Connection,
    task: EndedTask,
    *,
    review_id: UUID,
    stratum: str,
    weight: float,
    novelty: float | None,
) -> None:
    """Note that a task was drawn: `weight` is how many tasks of its stratum it stands for."""
    connection.execute(
        insert(samples).values(
            task_id=task.id,
            review_id=review_id,
            tenant=task.tenant,
            agent=task.agent,
            stratum=stratum,
            weight=weight,
            confidence=task.confidence,
            novelty=novelty,
        )
    )


def is_drawn(connection: Connection, task_id: UUID) -> bool:
    """Whether a task was drawn before; one that was revived ends twice."""
    query = select(literal(1)).where(samples.c.task_id == task_id)
    return connection.execute(query).scalar() is not None
