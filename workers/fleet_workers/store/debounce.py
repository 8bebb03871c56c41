"""Tasks with a debounce key: of those that come within a window only the last one runs.

Every such task is put off until its window's end. Whoever takes one in settles its key at once if
nobody else is at it, and waits for nobody; a janitor settles every key before a task of it runs, so
that what was left undone then is done by that time. All functions work inside the caller's
transaction.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Row, text

from fleet_contracts.envelope import TaskEnvelope, parse_envelope
from fleet_contracts.errors import InvalidEnvelope
from fleet_contracts.outcome import Outcome, OutcomeKind
from fleet_contracts.states import TaskState
from fleet_workers.store import outbox
from fleet_workers.store.json_text import json_text
from fleet_workers.telemetry.counting import count_ended

_KEPT = timedelta(hours=1)
_CLOCKS_AGREE = timedelta(minutes=1)  # a time further ahead was written by another clock

# Sessions have keys of two parts: no session's lock is a key's.
_LOCK_NUMBER = """
hashtextextended('debounce' || chr(31) || :tenant || chr(31) || :agent || chr(31) || :key, 0)
"""
_TRY_LOCK = text(f"SELECT pg_try_advisory_xact_lock({_LOCK_NUMBER})")
_LOCK = text(f"SELECT pg_advisory_xact_lock({_LOCK_NUMBER})")

_DUE_AT = text("""
LEAST(now() + :window, COALESCE((
    SELECT opened_at FROM debounce_windows
    WHERE tenant = :of_tenant AND agent = :of_agent AND key = :of_key
        AND opened_at <= now() AND closes_at > now()
), now()) + :longest)
""")

# What a clock that was put back since has written is due.
_KEYS_DUE = text("""
SELECT DISTINCT tenant, agent, envelope ->> 'debounce_key' AS key FROM tasks
WHERE state = 'queued' AND due_at IS NOT NULL AND envelope ? 'debounce_key'
    AND (due_at <= now() OR created_at > now() + :clocks_agree)
LIMIT :limit
""")

_MEMBERS = text("""
SELECT id, agent, submitted_at, created_at, due_at, envelope ->> 'reply_to' AS reply_to,
    due_at <= now() OR created_at > now() + :clocks_agree AS is_due
FROM tasks
WHERE state = 'queued' AND due_at IS NOT NULL AND envelope ? 'debounce_key'
    AND tenant = :tenant AND agent = :agent AND envelope ->> 'debounce_key' = :key
ORDER BY submitted_at, created_at, id
FOR UPDATE
""")

_WINDOW = text("""
SELECT task_id, submitted_at, came_at, opened_at, closes_at FROM debounce_windows
WHERE tenant = :tenant AND agent = :agent AND key = :key AND came_at < now() + :clocks_agree
""")

_REPLACE = text("""
UPDATE tasks SET state = 'cancelled', outcome = replaced.outcome, epoch = epoch + 1,
    finished_at = now(), due_at = NULL
FROM unnest(CAST(:ids AS uuid[]), CAST(:outcomes AS jsonb[])) AS replaced (id, outcome)
WHERE tasks.id = replaced.id
""")

_NOTE_WINDOW = text("""
INSERT INTO debounce_windows (tenant, agent, key, task_id, submitted_at, came_at, opened_at,
    closes_at, kept_until)
VALUES (:tenant, :agent, :key, :task_id, :submitted_at, :came_at, :opened_at, :closes_at,
    :closes_at + :kept)
ON CONFLICT (tenant, agent, key) DO UPDATE SET task_id = excluded.task_id,
    submitted_at = excluded.submitted_at, came_at = excluded.came_at,
    opened_at = excluded.opened_at, closes_at = excluded.closes_at,
    kept_until = excluded.kept_until
""")

_ENVELOPE = text("SELECT envelope FROM tasks WHERE id = :id")

_TIDY = text("""
DELETE FROM debounce_windows WHERE (tenant, agent, key) IN (
    SELECT tenant, agent, key FROM debounce_windows
    WHERE kept_until < now() LIMIT :limit FOR UPDATE SKIP LOCKED
)
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Key:
    tenant: str
    agent: str
    key: str

    @property
    def parameters(self) -> dict[str, Any]:
        return {"tenant": self.tenant, "agent": self.agent, "key": self.key}


def first_due_at(envelope: TaskEnvelope) -> ColumnElement[datetime]:
    """When the window of a task that is being recorded ends, as SQL."""
    return _DUE_AT.bindparams(
        window=timedelta(seconds=envelope.debounce_seconds or 0.0),
        longest=timedelta(seconds=envelope.longest_window_seconds),
        of_tenant=envelope.tenant,
        of_agent=envelope.agent,
        of_key=envelope.debounce_key,
    )  # type: ignore[return-value] # a text stands wherever an expression does


def settle_new(connection: Connection, envelope: TaskEnvelope) -> None:
    """After a task was recorded: end those that it replaces, or itself where it is an old one.

    Does nothing where another transaction is at the key: a janitor does it in time.
    """
    key = _Key(tenant=envelope.tenant, agent=envelope.agent, key=str(envelope.debounce_key))
    if connection.execute(_TRY_LOCK, key.parameters).scalar():
        _settle(connection, key)


def settle_due(connection: Connection, *, limit: int) -> list[UUID]:
    """Settle the keys of tasks whose windows have ended; give the tasks that are to run now."""
    rows = connection.execute(_KEYS_DUE, {"limit": limit, "clocks_agree": _CLOCKS_AGREE})
    keys = [_Key(tenant=row.tenant, agent=row.agent, key=row.key) for row in rows]
    found = []
    for key in sorted(keys, key=lambda each: (each.tenant, each.agent, each.key)):
        connection.execute(_LOCK, key.parameters)
        found += _settle(connection, key)
    return found


def tidy(connection: Connection, *, limit: int) -> int:
    """Forget keys under which nothing came for an hour; gives their number."""
    return connection.execute(_TIDY, {"limit": limit}).rowcount


def _settle(connection: Connection, key: _Key) -> list[UUID]:
    """End every task of a key that another replaces; gives those whose time has come.

    A task is replaced by one that was submitted later and came before its window ended, or that has
    left its window before the task came.
    """
    parameters = {**key.parameters, "clocks_agree": _CLOCKS_AGREE}
    members = connection.execute(_MEMBERS, parameters).all()
    if not members:
        return []
    window = connection.execute(_WINDOW, parameters).one_or_none()
    heirs = {
        each.id: heir
        for place, each in enumerate(members)
        if (heir := _heir(each, members[place + 1 :], window)) is not None
    }
    replaced = [each for each in members if each.id in heirs]
    _replace(connection, replaced, heirs)
    left = [each for each in members if each.id not in heirs]
    if left:
        _note_window(connection, key, members, left[-1], window)
    return [each.id for each in left if each.is_due]


def _heir(task: Row[Any], later: Sequence[Row[Any]], window: Row[Any] | None) -> UUID | None:
    for each in reversed(later):
        if each.created_at < task.due_at:
            found: UUID = each.id
            return found
    if (
        window is not None
        and window.task_id != task.id
        and window.submitted_at > task.submitted_at
        and window.came_at < task.created_at
    ):
        heir: UUID = window.task_id
        return heir
    return None


def _note_window(
    connection: Connection,
    key: _Key,
    members: Sequence[Row[Any]],
    last: Row[Any],
    window: Row[Any] | None,
) -> None:
    goes_on = window is not None and window.closes_at > last.created_at
    opened_at = (
        window.opened_at
        if window is not None and goes_on
        else min(each.created_at for each in members if each.due_at > last.created_at)
    )
    connection.execute(
        _NOTE_WINDOW,
        {
            **key.parameters,
            "task_id": last.id,
            "submitted_at": last.submitted_at,
            "came_at": last.created_at,
            "opened_at": opened_at,
            "closes_at": last.due_at,
            "kept": _KEPT,
        },
    )


def _replace(connection: Connection, replaced: Sequence[Row[Any]], heirs: dict[UUID, UUID]) -> None:
    """End tasks that others replace. Who waits for a reply is told."""
    if not replaced:
        return
    outcomes = [_outcome(heirs[each.id]) for each in replaced]
    connection.execute(
        _REPLACE,
        {
            "ids": [each.id for each in replaced],
            "outcomes": [json_text(each.model_dump(mode="json")) for each in outcomes],
        },
    )
    for each, outcome in zip(replaced, outcomes, strict=True):
        count_ended(each.agent, TaskState.CANCELLED)
        if each.reply_to is not None:
            envelope = connection.execute(_ENVELOPE, {"id": each.id}).scalar()
            with suppress(InvalidEnvelope):  # a row that was broken from outside
                outbox.post_reply(connection, parse_envelope(envelope), outcome)


def _outcome(heir: UUID) -> Outcome:
    return Outcome(
        kind=OutcomeKind.CANCELLED,
        reason=f"Replaced by task {heir}, which was submitted later with the same debounce key.",
        replaced_by=heir,
    )
