"""The chain of the audit trail: each entry's hash covers the entry and the hash before it."""

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, Row, Table, func, select, text

from fleet_contracts.errors import InvalidInput
from fleet_workers.store.audit_tables import audit, audit_inbox

GENESIS = "0" * 64
"""Stands before the first entry."""

_LOCK = 7_461_202_612  # any number that only sealing uses: one at a time, whoever does it
_SECOND_FORM = 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'
_encode = json.JSONEncoder(
    allow_nan=False, ensure_ascii=False, separators=(",", ":"), sort_keys=True
).encode

_SEAL = text("""
INSERT INTO audit (position, hash, id, at, kind, who, what, why, tenant, task_id, trace, detail)
SELECT s.position, decode(s.hash, 'hex'), i.id, i.at, i.kind, i.who, i.what, i.why, i.tenant,
    i.task_id, i.trace, i.detail
FROM unnest(CAST(:ids AS bigint[]), CAST(:positions AS bigint[]), CAST(:hashes AS text[]))
    AS s(id, position, hash)
JOIN audit_inbox AS i ON i.id = s.id
""")
_REMOVE = text("DELETE FROM audit_inbox WHERE id = ANY(CAST(:ids AS bigint[]))")
_TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(:key)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The end of the chain: a position, 0 where nothing is sealed, and its hash in hex.

    Noted outside the store it proves later that nothing up to it was changed since.
    """

    position: int
    hash: str

    def __str__(self) -> str:
        return f"{self.position}:{self.hash}"


def parse_head(written: str) -> Head:
    """Read a head in the form POSITION:HASH.

    Raises:
        InvalidInput: It has another form.
    """
    position, _, digest = written.partition(":")
    is_digest = len(digest) == len(GENESIS) and set(digest) <= set("0123456789abcdef")
    if not position.isdecimal() or not is_digest:
        raise InvalidInput(
            f"{written!r} is no head: give POSITION:HASH as `fleetctl audit verify` prints it."
        )
    return Head(position=int(position), hash=digest)


def content_columns(table: Table) -> list[Any]:
    """What an entry's text is made of; the time as text, in UTC with microseconds."""
    columns = table.c
    at = func.to_char(func.timezone("UTC", columns.at), _SECOND_FORM).label("at")
    return [
        columns.id, at, columns.kind, columns.who, columns.what, columns.why, columns.tenant,
        columns.task_id, columns.trace, columns.detail,
    ]  # fmt: skip


def entry_text(row: Row[Any]) -> str:
    """The one text that stands for an entry: JSON with sorted keys and no spaces, in UTF-8."""
    return _encode(
        {
            "id": row.id,
            "at": row.at,
            "kind": row.kind,
            "who": row.who,
            "what": row.what,
            "why": row.why,
            "tenant": row.tenant,
            "task_id": None if row.task_id is None else str(row.task_id),
            "trace": row.trace,
            "detail": row.detail,
        }
    )


def link(previous: str, entry: str) -> str:
    """The hash of an entry: SHA-256, in hex, of the hash before it (in hex) and the entry."""
    return sha256((previous + entry).encode()).hexdigest()


def head(connection: Connection) -> Head:
    """The end of the chain as it stands in the store."""
    row = connection.execute(
        select(audit.c.position, audit.c.hash).order_by(audit.c.position.desc()).limit(1)
    ).one_or_none()
    return (
        Head(position=0, hash=GENESIS) if row is None else Head(position=row[0], hash=row[1].hex())
    )


def seal(connection: Connection, *, limit: int) -> int:
    """Put up to `limit` entries from the inbox at the end of the chain; gives their number.

    Entries whose transaction commits late are sealed by a later call. 0 where another process
    seals at this moment.
    """
    if not connection.execute(_TRY_LOCK, {"key": _LOCK}).scalar_one():
        return 0
    rows = connection.execute(
        select(*content_columns(audit_inbox)).order_by(audit_inbox.c.id).limit(limit)
    ).all()
    if not rows:
        return 0
    last = head(connection)
    hashes = []
    previous = last.hash
    for row in rows:
        previous = link(previous, entry_text(row))
        hashes.append(previous)
    ids = [row.id for row in rows]
    positions = range(last.position + 1, last.position + 1 + len(rows))
    connection.execute(_SEAL, {"ids": ids, "positions": list(positions), "hashes": hashes})
    connection.execute(_REMOVE, {"ids": ids})
    return len(rows)
