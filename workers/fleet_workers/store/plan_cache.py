"""Replies of models that are stored to be used again, and the versions of data they rest on."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from sqlalchemy import Connection, delete, func, select, tuple_
from sqlalchemy.dialects.postgresql import insert

from fleet_workers.store import finished_steps
from fleet_workers.store.json_text import as_stored
from fleet_workers.store.model_tables import data_versions, plan_cache
from fleet_workers.store.statement import Statement, Where

log = structlog.get_logger(__name__)

ALL_AGENTS: Final = "*"
"""Stands for every agent of a tenant where the version of its data is raised."""

ALIKE_LIMIT: Final = 200
"""The newest entries that are looked through for one that means the same."""

_ALIKE_BYTES = 512 * 1024  # of vectors that are read at once: fewer entries where they are long
_DELETED_AT_ONCE = 1000  # a janitor's transaction stays short

_FIND = Statement(
    """
    SELECT v.version, c.reply, c.task_id
    FROM (SELECT coalesce(sum(version), 0)::bigint AS version FROM data_versions
          WHERE tenant = :tenant AND agent IN (:agent, '*')) v
    LEFT JOIN plan_cache c
      ON c.tenant = :tenant AND c.key = :key AND c.data_version = v.version
     AND c.expires_at > now()
    """
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the store has for an exact key: the version of the data now, and a reply or None."""

    data_version: int
    reply: Any = None
    task_id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """By what an entry is found that asks for the same in other words.

    Only entries of the same `guard` are compared. `vector` is float32, as bytes, of the embedder
    of that name; `words` are those of the request.
    """

    guard: bytes
    embedder: str
    vector: bytes
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Alike:
    """An entry that may mean the same as a request."""

    key: bytes
    vector: bytes
    words: str
    task_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A reply to be stored. `data_version` is that of before the model was asked."""

    tenant: str
    key: bytes
    agent: str
    release: str
    data_version: int
    reply: Any
    task_id: UUID
    lifetime: timedelta
    meaning: Meaning | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Replies of one release. `shared` may answer requests in other words."""

    tenant: str
    agent: str
    release: str
    entries: int
    shared: int
    oldest: datetime
    newest: datetime


def find(where: Where, *, tenant: str, agent: str, key: bytes) -> Found:
    """Look an exact key up, in one round trip.

    Raises:
        Unavailable: The store is away or slow.
    """
    row = _FIND.run(where, {"tenant": tenant, "agent": agent, "key": key})
    return Found(data_version=row.version, reply=row.reply, task_id=row.task_id)


def find_alike(
    connection: Connection, *, tenant: str, meaning: Meaning, data_version: int
) -> list[Alike]:
    """The newest entries that passed the same guards, at most `ALIKE_LIMIT`, the newest first."""
    rows = connection.execute(
        select(plan_cache.c.key, plan_cache.c.vector, plan_cache.c.words, plan_cache.c.task_id)
        .where(
            plan_cache.c.tenant == tenant,
            plan_cache.c.guard == meaning.guard,
            plan_cache.c.embedder == meaning.embedder,
            plan_cache.c.data_version == data_version,
            plan_cache.c.expires_at > func.now(),
        )
        .order_by(plan_cache.c.created_at.desc())
        .limit(max(1, min(ALIKE_LIMIT, _ALIKE_BYTES // max(1, len(meaning.vector)))))
    )
    return [
        Alike(key=row.key, vector=row.vector or b"", words=row.words or "", task_id=row.task_id)
        for row in rows
    ]


def read_reply(connection: Connection, *, tenant: str, key: bytes) -> Any:
    """The reply of an entry that was just found, or None where it is gone."""
    query = select(plan_cache.c.reply).where(
        plan_cache.c.tenant == tenant, plan_cache.c.key == key, plan_cache.c.expires_at > func.now()
    )
    return connection.execute(query).scalar()


def put(connection: Connection, entry: Entry) -> None:
    """Store a reply; one of the same key is replaced, unless it rests on newer data."""
    meaning = entry.meaning
    values = {
        "agent": entry.agent,
        "release": entry.release,
        "guard": meaning.guard if meaning else None,
        "embedder": meaning.embedder if meaning else None,
        "vector": meaning.vector if meaning else None,
        "words": as_stored(meaning.words) if meaning else None,
        "data_version": entry.data_version,
        "reply": as_stored(entry.reply),
        "task_id": entry.task_id,
        "created_at": func.now(),
        "expires_at": func.now() + entry.lifetime,
    }
    query = insert(plan_cache).values(tenant=entry.tenant, key=entry.key, **values)
    connection.execute(
        query.on_conflict_do_update(
            index_elements=[plan_cache.c.tenant, plan_cache.c.key],
            set_={name: query.excluded[name] for name in values},
            where=plan_cache.c.data_version <= query.excluded.data_version,
        )
    )


def drop(connection: Connection, *, tenant: str, key: bytes) -> None:
    """Delete one entry: it could not be read."""
    connection.execute(
        delete(plan_cache).where(plan_cache.c.tenant == tenant, plan_cache.c.key == key)
    )


def invalidate(connection: Connection, *, tenant: str, agent: str | None, by: str) -> int:
    """Make all stored replies of a tenant, or of one of its agents, void; gives their number.

    A reply that is being made at this moment is void as well: it rests on the data of before.
    """
    query = insert(data_versions).values(
        tenant=tenant, agent=agent or ALL_AGENTS, version=1, changed_by=by
    )
    connection.execute(
        query.on_conflict_do_update(
            index_elements=[data_versions.c.tenant, data_versions.c.agent],
            set_={
                "version": data_versions.c.version + 1,
                "changed_by": query.excluded.changed_by,
                "changed_at": func.now(),
            },
        )
    )
    chosen = delete(plan_cache).where(plan_cache.c.tenant == tenant)
    if agent is not None:
        chosen = chosen.where(plan_cache.c.agent == agent)
    return connection.execute(chosen).rowcount


def count_entries(connection: Connection, *, tenant: str | None) -> list[Stored]:
    """What is stored and not too old, by tenant, agent and release; `tenant=None` is all."""
    query = (
        select(
            plan_cache.c.tenant,
            plan_cache.c.agent,
            plan_cache.c.release,
            func.count().label("entries"),
            func.count(plan_cache.c.guard).label("shared"),
            func.min(plan_cache.c.created_at).label("oldest"),
            func.max(plan_cache.c.created_at).label("newest"),
        )
        .where(plan_cache.c.expires_at > func.now())
        .group_by(plan_cache.c.tenant, plan_cache.c.agent, plan_cache.c.release)
        .order_by(plan_cache.c.tenant, plan_cache.c.agent, plan_cache.c.release)
    )
    rows = connection.execute(
        query if tenant is None else query.where(plan_cache.c.tenant == tenant)
    )
    return [Stored(**row._mapping) for row in rows]  # noqa: SLF001 the way to a dict


def forget_task(connection: Connection, task_id: UUID) -> int:
    """Delete what a task left here, and all that the replies it was given came from.

    For a task of which a person says that it was wrong. Gives the number of entries.
    """
    steps = finished_steps.among([task_id])
    result = steps.c.result
    told = connection.execute(
        select(result["provenance"]["task"].as_string()).where(
            steps.c.task_id == task_id,
            steps.c.kind == "plan",
            result["provenance"]["task"].as_string().is_not(None),
        )
    ).scalars()
    tasks = {task_id, *_as_ids(told)}
    gone = connection.execute(delete(plan_cache).where(plan_cache.c.task_id.in_(tasks))).rowcount
    if gone:
        log.info("cache.forgotten", task=str(task_id), entries=gone)
    return gone


def delete_expired(connection: Connection) -> int:
    """Delete entries that are too old, a bounded number at once; gives how many."""
    old = (
        select(plan_cache.c.tenant, plan_cache.c.key)
        .where(plan_cache.c.expires_at <= func.now())
        .limit(_DELETED_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    return _delete_chosen(connection, connection.execute(old).all())


def delete_beyond(connection: Connection, *, most: int) -> int:
    """Delete the oldest entries of tenants that have over `most`; gives how many."""
    over = connection.execute(
        select(plan_cache.c.tenant, (func.count() - most).label("beyond"))
        .group_by(plan_cache.c.tenant)
        .having(func.count() > most)
    ).all()
    gone = 0
    for tenant, beyond in over:
        oldest = (
            select(plan_cache.c.tenant, plan_cache.c.key)
            .where(plan_cache.c.tenant == tenant)
            .order_by(plan_cache.c.created_at)
            .limit(min(beyond, _DELETED_AT_ONCE))
            .with_for_update(skip_locked=True)
        )
        gone += _delete_chosen(connection, connection.execute(oldest).all())
    return gone


def _delete_chosen(connection: Connection, chosen: Sequence[Any]) -> int:
    if not chosen:
        return 0
    keys = [(row.tenant, row.key) for row in chosen]
    place = tuple_(plan_cache.c.tenant, plan_cache.c.key)
    return connection.execute(delete(plan_cache).where(place.in_(keys))).rowcount


def _as_ids(told: Collection[str] | Any) -> set[UUID]:
    found = set()
    for each in told:
        try:
            found.add(UUID(each))
        except ValueError:
            log.warning("cache.provenance_unusable", task=each)
    return found
