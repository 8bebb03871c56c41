"""Steps of a task as somebody who follows it sees them: how far each is, without what was said."""

from collections.abc import Collection
from decimal import Decimal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict
from sqlalchemy import Connection, or_, select

from fleet_workers.store import finished_steps
from fleet_workers.store.journal_rows import StepState
from fleet_workers.store.tables import steps


class StepNews(BaseModel):
    """A step that has begun or is done. `cost_usd` is null where the price is not known."""

    model_config = ConfigDict(frozen=True)

    task_id: UUID
    seq: int
    kind: str
    name: str
    state: StepState
    model: str | None
    tokens: int | None
    cost_usd: Decimal | None
    started_at: AwareDatetime
    finished_at: AwareDatetime | None


def step_news(
    connection: Connection,
    task_id: UUID,
    *,
    after: int,
    begun: Collection[int],
    is_over: bool,
    limit: int,
) -> list[StepNews]:
    """Steps behind the number `after`, and those of `begun` that are done now, by their numbers.

    `is_over` tells that the task has ended, and its journal may be put away.
    """
    rows = finished_steps.among([task_id]) if is_over else steps
    done = rows.c.seq.in_(sorted(begun)) & (rows.c.state == StepState.DONE)
    found = connection.execute(
        select(*(rows.c[name] for name in StepNews.model_fields))
        .where(rows.c.task_id == task_id, or_(rows.c.seq > after, done))
        .order_by(rows.c.seq)
        .limit(limit)
    )
    return [StepNews.model_validate(dict(row._mapping)) for row in found]  # noqa: SLF001 the documented way to a dict
