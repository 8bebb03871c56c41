"""Reads the audit trail: as lines that can be checked anywhere, and for people."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Row,
    Table,
    cast,
    func,
    null,
    select,
    tuple_,
    union_all,
)

from fleet_workers.store import finished_steps
from fleet_workers.store.audit import AuditKind, digest
from fleet_workers.store.audit_chain import content_columns, entry_text
from fleet_workers.store.audit_tables import audit, audit_inbox

CHANGED = "The journal was changed since: it says something else now."
"""Stands in place of a reason that does not fit its digest."""

_ROWS_A_FETCH = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Which entries are meant; what is None does not matter. `since` is included, `until` not."""

    tenant: str | None = None
    task_id: UUID | None = None
    kind: AuditKind | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownEntry:
    """An entry for people. `position` is None until it is sealed.

    `reason` are the words behind a digest, where the task's journal still has them.
    """

    position: int | None
    at: str
    kind: str
    who: str
    what: str
    why: str
    tenant: str | None
    task_id: UUID | None
    detail: Mapping[str, Any]
    reason: str | None


def export_lines(connection: Connection, wanted: AuditFilter) -> Iterator[str]:
    """Sealed entries in the order of the chain, one JSON line each, without line ends.

    `{"entry":TEXT,"hash":"…","position":N}`, in which TEXT is, byte for byte, what was hashed
    after the hash of the line before.
    """
    query = select(audit.c.position, audit.c.hash, *content_columns(audit))
    rows = connection.execute(
        query.where(*_conditions(audit, wanted)).order_by(audit.c.position),
        execution_options={"yield_per": _ROWS_A_FETCH},
    )
    for row in rows:
        sealed = bytes(row.hash).hex()
        yield f'{{"entry":{entry_text(row)},"hash":"{sealed}","position":{row.position}}}'


def count_unsealed(connection: Connection, wanted: AuditFilter) -> int:
    """Number of entries that fit and are in no export yet."""
    query = select(func.count()).select_from(audit_inbox).where(*_conditions(audit_inbox, wanted))
    return connection.execute(query).scalar_one()


def newest(connection: Connection, wanted: AuditFilter, *, limit: int) -> list[ShownEntry]:
    """The newest entries that fit, oldest of them first, those not yet sealed included."""
    unsealed = select(cast(null(), BigInteger).label("position"), *content_columns(audit_inbox))
    sealed = select(audit.c.position, *content_columns(audit))
    both = union_all(
        unsealed.where(*_conditions(audit_inbox, wanted))
        .order_by(audit_inbox.c.id.desc())
        .limit(limit),
        sealed.where(*_conditions(audit, wanted)).order_by(audit.c.position.desc()).limit(limit),
    ).subquery()
    rows = connection.execute(
        select(both).order_by(both.c.position.desc().nulls_first(), both.c.id.desc()).limit(limit)
    ).all()
    words = _words(connection, rows)
    return [_shown(row, words) for row in reversed(rows)]


def _conditions(table: Table, wanted: AuditFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.tenant is not None:
        found.append(table.c.tenant == wanted.tenant)
    if wanted.task_id is not None:
        found.append(table.c.task_id == wanted.task_id)
    if wanted.kind is not None:
        found.append(table.c.kind == wanted.kind)
    if wanted.since is not None:
        found.append(table.c.at >= wanted.since)
    if wanted.until is not None:
        found.append(table.c.at < wanted.until)
    return found


def _words(
    connection: Connection, rows: Sequence[Row[Any]]
) -> dict[tuple[UUID, int], Mapping[str, Any]]:
    """What the journal says at the steps that entries are about."""
    places = [
        (row.task_id, row.detail["step"])
        for row in rows
        if row.task_id is not None and isinstance(row.detail.get("step"), int)
    ]
    steps = finished_steps.among({task_id for task_id, _ in places})
    found = connection.execute(
        select(steps.c.task_id, steps.c.seq, steps.c.result).where(
            tuple_(steps.c.task_id, steps.c.seq).in_(places)
        )
    )
    return {(row.task_id, row.seq): row.result or {} for row in found}


def _shown(row: Row[Any], words: Mapping[tuple[UUID, int], Mapping[str, Any]]) -> ShownEntry:
    return ShownEntry(
        position=row.position,
        at=row.at,
        kind=row.kind,
        who=row.who,
        what=row.what,
        why=row.why,
        tenant=row.tenant,
        task_id=row.task_id,
        detail=row.detail,
        reason=_reason(row.detail, words.get((row.task_id, row.detail.get("step", -1)), {})),
    )


def _reason(detail: Mapping[str, Any], said: Mapping[str, Any]) -> str | None:
    """The journal's words, where they are still those that the entry was written about."""
    for name in ("reason", "reasons", "text"):
        if (noted := detail.get(f"{name}_sha256")) and said.get(name):
            return _as_text(said[name]) if digest(said[name]) == noted else CHANGED
    if (noted := detail.get("result_sha256")) and said:
        words = said.get("error") or said.get("in_doubt")
        return words and str(words) if digest(said) == noted else CHANGED
    return None


def _as_text(said: object) -> str:
    return "; ".join(map(str, said)) if isinstance(said, list) else str(said)
