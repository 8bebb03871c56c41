"""Rows of what the fleet gave up: whole tasks, and messages that no one could read."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Uuid,
    func,
    insert,
    literal_column,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by

from fleet_contracts.ids import new_task_id
from fleet_workers.store.causes import cause_of
from fleet_workers.store.tables import dead_letters
from fleet_workers.telemetry.meters import DEAD_LETTERS, bounded

SettledAs = Literal["replayed", "discarded"]
_Text = Annotated[str, Field(min_length=1, max_length=500)]


class DeadLetter(BaseModel):
    """What was given up and why. `body` is the envelope, or the message as it came.

    `cause` is what like faults have in common. A letter is settled once it was replayed or
    discarded.
    """

    model_config = ConfigDict(frozen=True)

    id: UUID
    task_id: UUID | None
    tenant: str | None
    agent: str | None
    queue: str | None
    reason: str
    error: str
    cause: str
    body: str
    attempts: list[dict[str, Any]]
    traceparent: str | None
    created_at: datetime
    settled_at: datetime | None = None
    settled_as: str | None = None
    settled_by: str | None = None
    settled_reason: str | None = None


class DeadLetterFilter(BaseModel):
    """Which letters are meant; what is not given does not matter.

    `error` is a part of the error's text, in any case of letters. `since` is included, `until` is
    not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tenant: _Text | None = None
    agent: _Text | None = None
    reason: _Text | None = None
    cause: _Text | None = None
    error: _Text | None = None
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    task_id: UUID | None = None


class CauseGroup(BaseModel):
    """Letters with one cause. `newest_id` is an example of them."""

    model_config = ConfigDict(frozen=True)

    cause: str
    reason: str
    letters: int
    agents: list[str]
    first_at: datetime
    last_at: datetime
    newest_id: UUID


def add(
    connection: Connection,
    *,
    reason: str,
    error: str,
    body: str,
    task_id: UUID | None = None,
    tenant: str | None = None,
    agent: str | None = None,
    queue: str | None = None,
    attempts: Sequence[Mapping[str, Any]] = (),
    traceparent: str | None = None,
) -> DeadLetter:
    """Write a dead letter in the caller's transaction.

    NUL, which text columns cannot hold, is shown as U+2400.
    """
    DEAD_LETTERS.labels(bounded("reason", reason)).inc()
    row = connection.execute(
        insert(dead_letters)
        .values(
            id=new_task_id(),
            task_id=task_id,
            tenant=tenant,
            agent=agent,
            queue=queue,
            reason=reason,
            error=_storable(error),
            cause=cause_of(reason, _storable(error)),
            body=_storable(body),
            attempts=[dict(each) for each in attempts],
            traceparent=traceparent,
        )
        .returning(dead_letters)
    ).one()
    return _letter(row)


def find(
    connection: Connection,
    wanted: DeadLetterFilter,
    *,
    settled: bool | None = False,
    before: UUID | None = None,
    limit: int = 50,
) -> list[DeadLetter]:
    """Letters that fit, newest first; with `before`, those that stand after that letter.

    `settled=None` gives those that are settled and those that are not.
    """
    query = (
        select(dead_letters)
        .where(*conditions(wanted, settled=settled))
        .order_by(*_newest_first)
        .limit(limit)
    )
    if before is not None:
        place = select(dead_letters.c.created_at, dead_letters.c.id)
        place = place.where(dead_letters.c.id == before)
        query = query.where(_place < place.scalar_subquery())
    return [_letter(row) for row in connection.execute(query)]


def get(connection: Connection, letter_id: UUID, *, tenant: str | None) -> DeadLetter | None:
    """One letter; None in another tenant. `tenant=None` sees all."""
    row = connection.execute(
        select(dead_letters).where(dead_letters.c.id == letter_id, *_of_tenant(tenant))
    ).one_or_none()
    return _letter(row) if row is not None else None


def count(connection: Connection, wanted: DeadLetterFilter, *, settled: bool | None = False) -> int:
    """Number of letters that fit."""
    fits = conditions(wanted, settled=settled)
    return connection.execute(
        select(func.count()).select_from(dead_letters).where(*fits)
    ).scalar_one()


def group(
    connection: Connection,
    wanted: DeadLetterFilter,
    *,
    settled: bool | None = False,
    limit: int = 50,
) -> list[CauseGroup]:
    """Letters that fit, by cause: the cause with the most letters first."""
    number = func.count()
    agents = func.array_remove(func.array_agg(dead_letters.c.agent.distinct()), None)
    rows = connection.execute(
        select(
            _cause.label("cause"),
            func.max(dead_letters.c.reason).label("reason"),
            number.label("letters"),
            agents.label("agents"),
            func.min(dead_letters.c.created_at).label("first_at"),
            func.max(dead_letters.c.created_at).label("last_at"),
            _newest_id.label("newest_id"),
        )
        .where(*conditions(wanted, settled=settled))
        .group_by(_cause)
        .order_by(number.desc(), func.max(dead_letters.c.created_at).desc())
        .limit(limit)
    )
    return [CauseGroup.model_validate(dict(row._mapping)) for row in rows]  # noqa: SLF001 the documented way to a dict


def settle(
    connection: Connection,
    letter_id: UUID,
    *,
    tenant: str | None,
    settled_as: SettledAs,
    by: str,
    reason: str | None = None,
) -> DeadLetter | None:
    """Mark a letter as settled; None where it is not there, or was settled before.

    Of two callers at the same moment one waits for the other's commit and gets None.
    """
    row = connection.execute(
        update(dead_letters)
        .where(
            dead_letters.c.id == letter_id,
            dead_letters.c.settled_at.is_(None),
            *_of_tenant(tenant),
        )
        .values(settled_at=func.now(), settled_as=settled_as, settled_by=by, settled_reason=reason)
        .returning(dead_letters)
    ).one_or_none()
    return _letter(row) if row is not None else None


def unsettled(
    connection: Connection, *, tenant: str | None = None, limit: int = 50
) -> list[DeadLetter]:
    """Dead letters that nobody replayed or discarded, newest first."""
    return find(connection, DeadLetterFilter(tenant=tenant), limit=limit)


def count_unsettled(connection: Connection, *, tenant: str | None = None) -> int:
    """Number of dead letters that nobody replayed or discarded."""
    return count(connection, DeadLetterFilter(tenant=tenant))


def conditions(
    wanted: DeadLetterFilter, *, settled: bool | None = False
) -> list[ColumnElement[bool]]:
    """A filter as conditions on the table."""
    columns = dead_letters.c
    found = _of_tenant(wanted.tenant)
    if wanted.agent is not None:
        found.append(columns.agent == wanted.agent)
    if wanted.reason is not None:
        found.append(columns.reason == wanted.reason)
    if wanted.cause is not None:
        found.append(_cause == wanted.cause)
    if wanted.error is not None:
        found.append(columns.error.icontains(wanted.error, autoescape=True))
    if wanted.since is not None:
        found.append(columns.created_at >= wanted.since)
    if wanted.until is not None:
        found.append(columns.created_at < wanted.until)
    if wanted.task_id is not None:
        found.append(columns.task_id == wanted.task_id)
    if settled is not None:
        is_open = columns.settled_at.is_(None)
        found.append(~is_open if settled else is_open)
    return found


# Letters of before causes were noted group by their reason.
_cause = func.coalesce(
    func.nullif(dead_letters.c.cause, literal_column("''")), dead_letters.c.reason
)
_newest_first = (dead_letters.c.created_at.desc(), dead_letters.c.id.desc())
_newest_id = func.array_agg(
    aggregate_order_by(dead_letters.c.id, *_newest_first), type_=ARRAY(Uuid)
)[1]
_place = tuple_(dead_letters.c.created_at, dead_letters.c.id)


def _of_tenant(tenant: str | None) -> list[ColumnElement[bool]]:
    return [] if tenant is None else [dead_letters.c.tenant == tenant]


def _storable(text: str) -> str:
    return text.replace("\x00", "\u2400").encode("utf-8", "replace").decode()


def _letter(row: Row[Any]) -> DeadLetter:
    fields = dict(row._mapping)  # noqa: SLF001 the documented way to a dict
    return DeadLetter.model_validate({**fields, "cause": fields["cause"] or fields["reason"]})
