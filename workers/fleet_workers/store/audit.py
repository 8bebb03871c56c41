"""Writes entries of the audit trail: who did or decided what, why, and for which task."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, ScalarSelect, insert, select

from fleet_workers.store.audit_tables import audit_inbox
from fleet_workers.store.json_text import as_stored, canonical_json
from fleet_workers.store.tables import tasks

HUMAN_TEXT_LIMIT = 500
"""Characters of a reason that an entry keeps."""


class AuditKind(StrEnum):
    """What sort of thing an entry records."""

    GATE = "gate"
    REVIEW = "review"
    EFFECT = "effect"
    DECISION = "decision"
    PAUSE = "pause"
    LIMIT = "limit"
    SCHEDULE = "schedule"
    SWITCH = "switch"
    RIGHT = "right"
    TENANT = "tenant"
    KEY = "key"
    PERSON = "person"
    SIGN_IN = "sign_in"
    RELEASE = "release"
    POLICY = "policy"
    REPLAY = "replay"
    DISCARD = "discard"
    RETENTION = "retention"
    ERASURE = "erasure"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry. It outlives the data that it is about, so it holds no word of a customer.

    `who` is a person, a key's label, or `agent:NAME`. `what` names the thing and what became of
    it: `refund_payment begun`. `why` is a reason that an operator or the code gave; reasons that
    may speak of a customer go into `detail` as their `digest`. `detail` holds references,
    digests, flags and counts; `tenant=None` is the whole fleet. The trace is the task's, unless
    one is given.
    """

    kind: AuditKind
    who: str
    what: str
    why: str = ""
    tenant: str | None = None
    task_id: UUID | None = None
    trace: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


def add(connection: Connection, *entries: Entry) -> None:
    """Write entries in the transaction of what they record: both stand, or neither does.

    Raises:
        ValueError: A detail holds a floating point number, which has no canonical text.
    """
    for each in entries:
        connection.execute(insert(audit_inbox).values(**_values(each)).inline())


def digest(value: object) -> str:
    """SHA-256 in hex of a JSON value: equal values, equal digests, and no way back to a text.

    Numbers are compared as the store keeps them: 40 and 40.0 are equal. A value with few
    possibilities (yes or no, a small amount) can be guessed by trying.
    """
    return sha256(canonical_json(value).encode()).hexdigest()


def _values(entry: Entry) -> dict[str, Any]:
    _refuse_floats(entry.detail)
    return {
        "kind": entry.kind,
        "who": as_stored(entry.who),
        "what": as_stored(entry.what),
        "why": as_stored(entry.why)[:HUMAN_TEXT_LIMIT],
        "tenant": entry.tenant,
        "task_id": entry.task_id,
        "trace": entry.trace or _trace_of(entry.task_id),
        "detail": as_stored(dict(entry.detail)),
    }


def _trace_of(task_id: UUID | None) -> ScalarSelect[str | None] | None:
    if task_id is None:
        return None
    return select(tasks.c.traceparent).where(tasks.c.id == task_id).scalar_subquery()


def _refuse_floats(value: object) -> None:
    """Make sure that every language writes a detail in the same way.

    Raises:
        ValueError: There is a floating point number in it.
    """
    if isinstance(value, float):
        raise ValueError(f"Write {value} as text.")  # noqa: TRY004 its type is right in JSON
    if isinstance(value, Mapping):
        for item in value.values():
            _refuse_floats(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _refuse_floats(item)
