"""Daily counts of what the agents did: written by a janitor, read by whoever shows figures.

No figure reads tasks: a page over 90 days reads 90 rows an agent, however many tasks there were.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Row, func, select, tuple_
from sqlalchemy.dialects.postgresql import insert

from fleet_workers.store.desk_tables import quality_days
from fleet_workers.store.finished import FIRST_ID, Mark, first_escalations, ran_offline
from fleet_workers.store.tables import reviews

ALL: Final = "*"
"""The tenant under which the sums of all tenants stand; no tenant may read them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DayKey:
    """What is counted together. `offline` tells the built-in model's tasks from those that count.

    Days are those of UTC.
    """

    tenant: str
    day: date
    agent: str
    offline: bool


@dataclass(slots=True, kw_only=True)
class Counts:
    """What happened to the tasks of a key.

    `finished` are all that ended, `alone` those that an agent ended without a person, `escalated`
    those that it put before one for the first time. `latency` counts tasks by bucket
    (`review.percentiles`), `strata` by stratum (`review.sampling`); both are of those `alone`.
    """

    finished: int = 0
    alone: int = 0
    escalated: int = 0
    cost_usd: Decimal = Decimal(0)
    latency: Counter[int] = field(default_factory=Counter)
    strata: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Counts") -> None:
        """Add what others counted."""
        self.finished += other.finished
        self.alone += other.alone
        self.escalated += other.escalated
        self.cost_usd += other.cost_usd
        self.latency.update(other.latency)
        self.strata.update(other.strata)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedReview:
    """A review as it was opened. `is_first` tells that it is its task's first escalation."""

    id: UUID
    tenant: str
    agent: str
    created_at: datetime
    is_first: bool
    offline: bool

    @property
    def mark(self) -> Mark:
        """Its place among the reviews."""
        return Mark(at=self.created_at, id=self.id)


def opened_after(
    connection: Connection, mark: Mark, *, older_than: timedelta, limit: int
) -> list[OpenedReview]:
    """Reviews that were opened after a mark, by their ids, which rise with time.

    None younger than `older_than` is given, as in `finished.ended_after`; nor one whose id was made
    by a clock that is ahead, before its time has come.
    """
    after = _id_at(mark.at) if mark.id == FIRST_ID else mark.id
    before = _id_at(datetime.now(UTC) - older_than)
    rows = connection.execute(
        select(
            reviews.c.id,
            reviews.c.task_id,
            reviews.c.tenant,
            reviews.c.agent,
            reviews.c.created_at,
        )
        .where(
            reviews.c.id > after,
            reviews.c.id < before,
            reviews.c.created_at < func.now() - older_than,
        )
        .order_by(reviews.c.id)
        .limit(limit)
    ).all()
    task_ids = {row.task_id for row in rows}
    first, offline = first_escalations(connection, task_ids), ran_offline(connection, task_ids)
    return [
        OpenedReview(
            id=row.id,
            tenant=row.tenant,
            agent=row.agent,
            created_at=row.created_at,
            is_first=first.get(row.task_id) == row.id,
            offline=row.task_id in offline,
        )
        for row in rows
    ]


def add_counts(connection: Connection, counted: Mapping[DayKey, Counts]) -> None:
    """Add to what is counted, for each tenant and for all of them.

    The caller keeps others from adding at the same time (`chore_marks.take_mark`).
    """
    sums: dict[DayKey, Counts] = {}
    for key, counts in counted.items():
        for tenant in (key.tenant, ALL):
            whose = DayKey(tenant=tenant, day=key.day, agent=key.agent, offline=key.offline)
            sums.setdefault(whose, Counts()).add(counts)
    if not sums:
        return
    for key, counts in _read_keys(connection, list(sums)):
        sums[key].add(counts)
    statement = insert(quality_days)
    written = ("finished", "alone", "escalated", "cost_usd", "latency", "strata")
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=list(quality_days.primary_key.columns),
            set_={name: statement.excluded[name] for name in written},
        ),
        [_values(key, counts) for key, counts in sums.items()],
    )


def read_days(
    connection: Connection, *, tenant: str | None, agent: str | None, since: date, offline: bool
) -> list[tuple[DayKey, Counts]]:
    """Counts of one tenant, or with None the sums of all, of one agent or all, by day."""
    table = quality_days.c
    query = (
        select(quality_days)
        .where(table.tenant == (tenant or ALL), table.day >= since, table.offline == offline)
        .order_by(table.day, table.agent)
    )
    if agent is not None:
        query = query.where(table.agent == agent)
    return [_read(row) for row in connection.execute(query)]


def _id_at(moment: datetime) -> UUID:
    """The smallest UUIDv7 of a moment (RFC 9562, section 5.7): later ones have larger ids."""
    milliseconds = max(0, int(moment.timestamp() * 1000))
    return UUID(int=(milliseconds << 80) | (0x7 << 76) | (0b10 << 62))


def _read_keys(connection: Connection, keys: list[DayKey]) -> list[tuple[DayKey, Counts]]:
    table = quality_days.c
    place = tuple_(table.tenant, table.day, table.agent, table.offline)
    wanted = [(key.tenant, key.day, key.agent, key.offline) for key in keys]
    return [_read(row) for row in connection.execute(select(quality_days).where(place.in_(wanted)))]


def _values(key: DayKey, counts: Counts) -> dict[str, Any]:
    return {
        "tenant": key.tenant,
        "day": key.day,
        "agent": key.agent,
        "offline": key.offline,
        "finished": counts.finished,
        "alone": counts.alone,
        "escalated": counts.escalated,
        "cost_usd": counts.cost_usd,
        "latency": {str(bucket): number for bucket, number in counts.latency.items()},
        "strata": dict(counts.strata),
    }


def _read(row: Row[Any]) -> tuple[DayKey, Counts]:
    key = DayKey(tenant=row.tenant, day=row.day, agent=row.agent, offline=row.offline)
    return key, Counts(
        finished=row.finished,
        alone=row.alone,
        escalated=row.escalated,
        cost_usd=row.cost_usd,
        latency=Counter({int(bucket): number for bucket, number in row.latency.items()}),
        strata=Counter(row.strata),
    )
