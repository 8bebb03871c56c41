"""Rows of bulk replays: what was asked for, how far it is, and when the next letter may go."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, Connection, Row, func, insert, select, text, tuple_, update

from fleet_contracts.ids import new_task_id
from fleet_workers.store import audit, dead_letters
from fleet_workers.store.audit import AuditKind, Entry, digest
from fleet_workers.store.dead_letters import DeadLetterFilter
from fleet_workers.store.tables import dead_letters as letters
from fleet_workers.store.tables import replays

KEPT_REFUSALS = 20
"""Refusals whose text a job keeps; the others are counted, and in the log."""

_LONGEST_CATCH_UP = timedelta(seconds=2)
"""A job that lay still goes on at its rate, with a burst of this length at most."""
_ONE_REQUEST_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtextextended('replays', 0))")


class ReplayJob(BaseModel):
    """A bulk replay. `matched` letters fitted when it was asked for.

    Those that others settle meanwhile count neither as replayed nor as refused. `refusals` holds
    the first of them, with their reasons.
    """

    model_config = ConfigDict(frozen=True)

    id: UUID
    tenant: str | None
    filter: DeadLetterFilter
    per_second: float = Field(description="Letters a second at most.")
    matched: int
    replayed: int
    refused: int
    refusals: list[dict[str, str]]
    requested_by: str
    created_at: datetime
    next_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A job whose time has come, locked for this transaction, with the letters that may go now.

    `is_last` tells that no letter comes after these.
    """

    job: ReplayJob
    letters: Sequence[UUID]
    is_last: bool


def request(
    connection: Connection, wanted: DeadLetterFilter, *, per_second: float, by: str
) -> ReplayJob:
    """Open a job for all unsettled letters that fit, or give the open one that is the same.

    A job that nothing fits is finished at once.
    """
    connection.execute(_ONE_REQUEST_AT_A_TIME)
    per_second = round(per_second, 3)
    content = wanted.model_dump(mode="json", exclude_none=True)
    same = connection.execute(
        select(replays).where(
            replays.c.finished_at.is_(None),
            replays.c.filter == content,
            replays.c.per_second == per_second,
        )
    ).one_or_none()
    if same is not None:
        return _job(same)
    matched = dead_letters.count(connection, wanted)
    row = connection.execute(
        insert(replays)
        .values(
            id=new_task_id(),
            tenant=wanted.tenant,
            filter=content,
            per_second=per_second,
            matched=matched,
            requested_by=by,
            finished_at=None if matched else func.now(),
        )
        .returning(replays)
    ).one()
    audit.add(
        connection,
        Entry(
            kind=AuditKind.REPLAY,
            who=by,
            what="bulk replay requested",
            tenant=wanted.tenant,
            detail={"replay": str(row.id), "matched": matched, "filter_sha256": digest(content)},
        ),
    )
    return _job(row)


def get(connection: Connection, job_id: UUID, *, tenant: str | None) -> ReplayJob | None:
    """One job; None in another tenant. `tenant=None` sees all."""
    query = select(replays).where(replays.c.id == job_id)
    if tenant is not None:
        query = query.where(replays.c.tenant == tenant)
    row = connection.execute(query).one_or_none()
    return _job(row) if row is not None else None


def newest(connection: Connection, *, tenant: str | None, limit: int) -> list[ReplayJob]:
    """The newest jobs, those under way first. `tenant=None` sees all."""
    query = (
        select(replays)
        .order_by(replays.c.finished_at.is_(None).desc(), replays.c.created_at.desc())
        .limit(limit)
    )
    if tenant is not None:
        query = query.where(replays.c.tenant == tenant)
    return [_job(row) for row in connection.execute(query)]


def overdue_seconds(connection: Connection, job_id: UUID) -> float:
    """How long the next letter of an open job is overdue; 0 where it is not."""
    waited = func.extract("epoch", func.now() - replays.c.next_at)
    found = connection.execute(
        select(waited).where(replays.c.id == job_id, replays.c.finished_at.is_(None))
    ).scalar()
    return max(0.0, float(found or 0.0))


def take_turn(connection: Connection, *, only: UUID | None = None, most: int) -> Turn | None:
    """Lock a job whose next letter is due, and pick up to `most` letters, oldest first.

    Jobs that another process works on at this moment are passed over. Only letters of before the
    request are picked: those that die again do not go round.
    """
    waited = func.extract("epoch", func.clock_timestamp() - replays.c.next_at).label("waited")
    query = (
        select(replays, waited)
        .where(replays.c.finished_at.is_(None), replays.c.next_at <= func.now())
        .order_by(replays.c.next_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    if only is not None:
        query = query.where(replays.c.id == only)
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    job = _job(row)
    waited_seconds = min(float(row.waited), _LONGEST_CATCH_UP.total_seconds())
    allowed = min(most, 1 + int(waited_seconds * job.per_second))
    found = list(
        connection.execute(
            select(letters.c.id)
            .where(*_still_to_do(job, row))
            .order_by(letters.c.created_at, letters.c.id)
            .limit(allowed + 1)
        ).scalars()
    )
    return Turn(job=job, letters=found[:allowed], is_last=len(found) <= allowed)


def end_turn(
    connection: Connection, turn: Turn, *, replayed: int, refusals: Sequence[Mapping[str, str]]
) -> None:
    """Write down what became of a turn's letters, and when the next may go."""
    columns = replays.c
    room = max(0, KEPT_REFUSALS - len(turn.job.refusals))
    values: dict[str, Any] = {
        "replayed": columns.replayed + replayed,
        "refused": columns.refused + len(refusals),
        "refusals": [*turn.job.refusals, *map(dict, refusals[:room])],
        "next_at": func.greatest(columns.next_at, func.now() - _LONGEST_CATCH_UP)
        + timedelta(seconds=len(turn.letters) / turn.job.per_second),
    }
    if turn.letters:
        last = turn.letters[-1]
        created_at = select(letters.c.created_at).where(letters.c.id == last)
        values |= {"passed_at": created_at.scalar_subquery(), "passed_id": last}
    if turn.is_last:
        values["finished_at"] = func.clock_timestamp()
    connection.execute(update(replays).where(columns.id == turn.job.id).values(**values))


def _still_to_do(job: ReplayJob, row: Row[Any]) -> list[ColumnElement[bool]]:
    found = dead_letters.conditions(job.filter)
    found.append(letters.c.created_at <= job.created_at)
    if row.passed_at is not None:
        place = tuple_(letters.c.created_at, letters.c.id)
        found.append(place > tuple_(row.passed_at, row.passed_id))
    return found


def _job(row: Row[Any]) -> ReplayJob:
    return ReplayJob.model_validate(dict(row._mapping))  # noqa: SLF001 the documented way to a dict
