"""Questions for the provider's Batch API: filed by workers, sent and answered by a janitor."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from fleet_contracts.states import OPEN_STATES, TaskState
from fleet_workers.store.json_text import as_stored
from fleet_workers.store.model_tables import bulk_requests
from fleet_workers.store.tables import tasks

NOT_OFFERED_FOR: Final = timedelta(hours=1)
"""How long it is believed that an endpoint has no Batch API."""

_row = bulk_requests.c


class BulkState(StrEnum):
    """Where a question is: filed, being uploaded, with the provider, or at its end."""

    WAITING = "waiting"
    SENDING = "sending"
    SENT = "sent"
    ANSWERED = "answered"
    FAILED = "failed"
    NOT_OFFERED = "not_offered"


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkRequest:
    """A question. `key` names it for as long as its task lives; `reply` is the provider's JSON.

    `path` is that of the endpoint's API, without what stands before it in its address.
    """

    key: str
    task_id: UUID
    tenant: str
    agent: str
    endpoint: str
    model: str
    path: str
    body: Mapping[str, Any]
    state: BulkState = BulkState.WAITING
    reply: Any = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """Questions that go to one endpoint together, under a name of ours."""

    name: str
    endpoint: str
    requests: Sequence[BulkRequest] = field(default_factory=tuple)


def file(connection: Connection, request: BulkRequest) -> None:
    """Note a question; once, however often it is told."""
    values = {name: getattr(request, name) for name in _FILED}
    statement = insert(bulk_requests).values({**values, "body": as_stored(request.body)})
    connection.execute(statement.on_conflict_do_nothing())


def of_task(connection: Connection, task_id: UUID) -> BulkRequest | None:
    """The question that a task has filed, if any."""
    query = select(bulk_requests).where(_row.task_id == task_id).order_by(_row.created_at)
    found = connection.execute(query.limit(1)).one_or_none()
    return None if found is None else _read(found)


def is_offered(connection: Connection, endpoint: str) -> bool:
    """Whether an endpoint may have a Batch API: it has not said otherwise lately."""
    lately = _row.answered_at > func.now() - NOT_OFFERED_FOR
    lacking = (_row.endpoint == endpoint) & (_row.state == BulkState.NOT_OFFERED) & lately
    return connection.execute(select(_row.key).where(lacking).limit(1)).first() is None


def take(connection: Connection, name: str, *, gathered: timedelta, most: int) -> Parcel | None:
    """Take what is to be sent to one endpoint now; no other janitor gets it.

    Nothing is taken until the oldest has waited for `gathered`, or there are `most`.
    """
    waiting = _row.state == BulkState.WAITING
    oldest = connection.execute(
        select(_row.endpoint, _row.path)
        .where(waiting)
        .group_by(_row.endpoint, _row.path)
        .having((func.min(_row.created_at) < func.now() - gathered) | (func.count() >= most))
        .limit(1)
    ).first()
    if oldest is None:
        return None
    keys = list(
        connection.execute(
            select(_row.key)
            .where(waiting, _row.endpoint == oldest.endpoint, _row.path == oldest.path)
            .order_by(_row.created_at)
            .limit(most)
            .with_for_update(skip_locked=True)
        ).scalars()
    )
    taken = connection.execute(
        update(bulk_requests)
        .where(_row.key.in_(keys))
        .values(state=BulkState.SENDING, batch=name, sent_at=func.now())
        .returning(bulk_requests)
    ).all()
    if not taken:
        return None
    return Parcel(name=name, endpoint=oldest.endpoint, requests=[_read(each) for each in taken])


def note_sent(connection: Connection, name: str, batch: str) -> None:
    """The provider has taken a parcel, and calls it `batch`."""
    _change(connection, name, BulkState.SENDING, state=BulkState.SENT, batch=batch)


def put_back(connection: Connection, name: str) -> None:
    """A parcel was not sent after all."""
    _change(connection, name, BulkState.SENDING, state=BulkState.WAITING, batch=None, sent_at=None)


def left_behind(connection: Connection, *, older_than: timedelta) -> list[Parcel]:
    """Parcels of janitors that stopped between taking them and hearing that they were sent."""
    query = (
        select(_row.batch, _row.endpoint)
        .where(_row.state == BulkState.SENDING, _row.sent_at < func.now() - older_than)
        .distinct()
    )
    return [Parcel(name=row.batch, endpoint=row.endpoint) for row in connection.execute(query)]


def with_provider(connection: Connection) -> list[Parcel]:
    """What is being worked on, by the provider's names."""
    query = select(_row.batch, _row.endpoint).where(_row.state == BulkState.SENT).distinct()
    return [Parcel(name=row.batch, endpoint=row.endpoint) for row in connection.execute(query)]


def note_answer(connection: Connection, key: str, reply: object) -> None:
    """Keep a question's answer; the first counts."""
    connection.execute(
        update(bulk_requests)
        .where(_row.key == key, _row.state.in_((BulkState.SENDING, BulkState.SENT)))
        .values(state=BulkState.ANSWERED, reply=as_stored(reply), answered_at=func.now())
    )


def give_up(
    connection: Connection,
    batch: str,
    error: str,
    *,
    state: BulkState = BulkState.FAILED,
    keys: Sequence[str] | None = None,
) -> None:
    """No answer will come for a batch's questions, or for those of `keys`: they are asked alone."""
    still = _row.state.in_((BulkState.SENDING, BulkState.SENT))
    which = (_row.batch == batch) & still
    if keys is not None:
        which &= _row.key.in_(keys)
    connection.execute(
        update(bulk_requests)
        .where(which)
        .values(state=state, error=error[:500], answered_at=func.now())
    )


def wake(connection: Connection, *, limit: int) -> list[UUID]:
    """Make tasks due whose question is at its end; told again until they have run."""
    ended = (BulkState.ANSWERED, BulkState.FAILED, BulkState.NOT_OFFERED)
    sleeping = (
        select(tasks.c.id)
        .join(bulk_requests, _row.task_id == tasks.c.id)
        .where(
            _row.state.in_(ended),
            tasks.c.state == TaskState.RETRYING,
            tasks.c.due_at > func.now(),
            tasks.c.last_error["code"].astext == "filed",
        )
        .limit(limit)
        .with_for_update(of=tasks, skip_locked=True)
    )
    found = list(connection.execute(sleeping).scalars())
    if found:
        connection.execute(update(tasks).where(tasks.c.id.in_(found)).values(due_at=func.now()))
    return found


def drop_ended(connection: Connection, *, limit: int) -> int:
    """Delete questions of tasks that have ended; what tells of an endpoint stays for a while.

    What the provider is working on is kept until its answer is there.
    """
    is_open = select(tasks.c.id).where(
        tasks.c.id == _row.task_id, tasks.c.state.in_([each.value for each in OPEN_STATES])
    )
    told = (_row.state == BulkState.NOT_OFFERED) & (_row.answered_at > func.now() - NOT_OFFERED_FOR)
    found = (
        select(_row.key)
        .where(_row.state.not_in((BulkState.SENDING, BulkState.SENT)), ~told, ~is_open.exists())
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    keys = list(connection.execute(found).scalars())
    connection.execute(delete(bulk_requests).where(_row.key.in_(keys)))
    return len(keys)


_FILED: Final = ("key", "task_id", "tenant", "agent", "endpoint", "model", "path", "state")


def _change(connection: Connection, name: str, now: BulkState, **values: Any) -> None:
    which = (_row.batch == name) & (_row.state == now)
    connection.execute(update(bulk_requests).where(which).values(**values))


def _read(row: Any) -> BulkRequest:
    told = {name: getattr(row, name) for name in (*_FILED, "body", "reply", "error")}
    return BulkRequest(**{**told, "state": BulkState(row.state)})
