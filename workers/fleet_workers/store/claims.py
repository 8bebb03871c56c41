"""Who works on a task: claims with an epoch and a lease, and the ways in which a run ends.

A claim is one conditional statement that raises the task's epoch. Every later write names that
epoch and fails with `LeaseLost` once a newer claim exists.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from fleet_contracts.envelope import TaskEnvelope
from fleet_contracts.errors import LeaseLost
from fleet_workers.store.json_text import json_text
from fleet_workers.store.limits import COVERED
from fleet_workers.store.ranks import yield_of
from fleet_workers.store.statement import Statement, Where
from fleet_workers.telemetry.counting import count_taken_in


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A worker process. `presence` is the number of the advisory lock that it holds while alive.

    A task is taken from it at the end of its `lease`, or after `silence` where the lock is gone.
    """

    worker: str
    presence: int
    lease: timedelta
    silence: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to work on a task until the lease ends.

    `deliveries` counts claims since the last progress, this one included. `is_first` tells that
    nobody has worked on the task before, so that its journal is empty.
    """

    task_id: UUID
    epoch: int
    agent: str
    deliveries: int
    attempts: int
    traceparent: str | None
    is_first: bool = False


# A journal is there before its task where the row was deleted and the message comes late.
RETURNING = """
RETURNING id, epoch, agent, deliveries, attempts, traceparent,
    epoch = 1 AND NOT EXISTS (SELECT FROM steps WHERE steps.task_id = tasks.id) AS is_first
"""

NOT_PAUSED = """
NOT EXISTS (SELECT FROM pauses WHERE pauses.agent IN ('*', {task}.agent)
            AND pauses.tenant IN ('*', {task}.tenant))
"""
MAY_RUN = NOT_PAUSED.format(task="tasks")
"""Condition on a row of `tasks`: neither its agent nor its tenant is paused."""

HOLDS_ITS_SESSION = """
({task}.state IN ('running', 'retrying') OR ({task}.state = 'queued' AND {task}.due_at IS NULL)
    OR ({task}.state = 'in_review'
    AND {task}.outcome ->> 'review_kind' IN ('approval', 'in_doubt', 'over_budget', 'tool_away')))
"""
"""Condition on a row of `tasks`: it runs, or will. In other reviews a person's word ends it.

A task that is put off lets those behind it pass: nobody waits an hour for one that may be replaced.
"""

ITS_TURN = f"""
(tasks.session_id IS NULL OR NOT EXISTS (
    SELECT FROM tasks AS other
    WHERE other.tenant = tasks.tenant AND other.session_id = tasks.session_id
        AND other.id <> tasks.id AND other.session_id IS NOT NULL
        AND other.state IN ('queued', 'running', 'retrying', 'in_review')
        AND {HOLDS_ITS_SESSION.format(task="other")}
        AND (other.state = 'running'
             OR (other.submitted_at, other.id) < (tasks.submitted_at, tasks.id))))
"""
"""Condition on a row of `tasks`: nothing of its session runs, or stands before it."""

_WAITS = """
EXISTS (SELECT FROM tasks AS waiting WHERE waiting.agent = new.agent AND waiting.state = 'queued'
    AND waiting.due_at IS NULL AND waiting.woken_at IS NOT NULL AND waiting.tenant {than} :passed)
"""
# Two ranges of an index, where a tenant with 10,000 tasks is to be passed over.
_TAKE_NEW = Statement(f"""
INSERT INTO tasks (id, tenant, agent, requested_agent, state, envelope, content_hash, customer,
    traceparent, deadline, epoch, deliveries, worker, presence, lease_until, silent_from,
    submitted_at, rank_at, started_at, woken_at)
SELECT new.id, new.tenant, new.agent, new.agent, 'running', CAST(:envelope AS jsonb), :hash,
    :customer, :traceparent, :deadline, 1, 1, :worker, :presence, now() + :lease, now() + :silence,
    LEAST(now(), COALESCE(CAST(:submitted_at AS timestamptz), now())),
    LEAST(now(), COALESCE(CAST(:submitted_at AS timestamptz), now())) + :yields, now(), now()
FROM (SELECT CAST(:id AS uuid) AS id, CAST(:tenant AS text) AS tenant,
             CAST(:agent AS text) AS agent) AS new
JOIN tenants ON tenants.name = new.tenant
WHERE {NOT_PAUSED.format(task="new")} AND NOT {COVERED.format(task="new")}
    AND NOT {_WAITS.format(than="<")} AND NOT {_WAITS.format(than=">")}
ON CONFLICT DO NOTHING
{RETURNING}
""")  # noqa: S608 every part is a constant of this file

TAKE = """state = 'running', epoch = epoch + 1, deliveries = deliveries + 1,
    worker = :worker, presence = :presence, lease_until = now() + :lease,
    silent_from = now() + :silence, started_at = COALESCE(started_at, now()), due_at = NULL
"""
"""What a claim changes in a row of `tasks`."""

_CLAIM = Statement(f"""
UPDATE tasks SET {TAKE}
WHERE id = :id
    AND ((state = 'queued' AND due_at IS NULL) OR (state = 'running' AND lease_until < now()))
    AND (CAST(:hash AS text) IS NULL OR content_hash = :hash)
    AND {MAY_RUN}
    AND {ITS_TURN}
{RETURNING}
""")  # noqa: S608 as above

_UNCOUNT = Statement("""
UPDATE tasks SET deliveries = :deliveries
WHERE id = :id AND epoch = :epoch AND state = 'running'
RETURNING id
""")

_RENEW = text("""
UPDATE tasks SET lease_until = now() + :lease, silent_from = now() + :silence
FROM unnest(CAST(:ids AS uuid[]), CAST(:epochs AS integer[])) AS held(id, epoch)
WHERE tasks.id = held.id AND tasks.epoch = held.epoch AND tasks.state = 'running'
RETURNING tasks.id
""")


def take_new(
    where: Where,
    envelope: TaskEnvelope,
    holder: Holder,
    *,
    traceparent: str | None,
    submitted_at: datetime | None = None,
    passed_over: str = "",
) -> Claim | None:
    """Record a task that nobody has seen and claim it, in one statement.

    `submitted_at` is now where none is given. Gives None, and writes nothing, where the task is
    known, its tenant is not, it is paused, a limit is over it, or another task of its agent waits,
    of another tenant than `passed_over`. Not for tasks of a session: they wait their turn.
    """
    row = _TAKE_NEW.run(
        where,
        {
            "id": envelope.id,
            "tenant": envelope.tenant,
            "agent": envelope.agent,
            "envelope": json_text(envelope.to_dict()),
            "hash": envelope.content_hash,
            "customer": envelope.customer,
            "traceparent": traceparent,
            "deadline": envelope.deadline,
            "submitted_at": submitted_at,
            "yields": yield_of(envelope.priority),
            "passed": passed_over,
            **as_parameters(holder),
        },
    )
    if row is None:
        return None
    count_taken_in(envelope.agent)
    return claim_of(row)


def claim(
    where: Where, task_id: UUID, holder: Holder, *, content_hash: str | None = None
) -> Claim | None:
    """Take a task that is queued and not put off, or that runs under a lease which has ended.

    Gives None where somebody holds it, where it is paused or not its turn, or where it has other
    content than `content_hash`. For a task of a session the caller holds `sessions.lock`.
    """
    parameters = {"id": task_id, "hash": content_hash, **as_parameters(holder)}
    row = _CLAIM.run(where, parameters)
    return None if row is None else claim_of(row)


def uncount(where: Where, held: Claim) -> None:
    """Take this delivery out of the count until the task's own process tells how it went.

    Raises:
        LeaseLost: Another worker holds the task.
    """
    parameters = {"id": held.task_id, "epoch": held.epoch, "deliveries": held.deliveries - 1}
    if _UNCOUNT.run(where, parameters) is None:
        raise lease_lost(held)


def renew(connection: Connection, held: Mapping[UUID, int], holder: Holder) -> set[UUID]:
    """Lengthen many leases at once; gives the tasks that are still held."""
    if not held:
        return set()
    rows = connection.execute(
        _RENEW,
        {
            "ids": list(held),
            "epochs": list(held.values()),
            "lease": holder.lease,
            "silence": holder.silence,
        },
    )
    return {row.id for row in rows}


def lease_lost(held: Claim) -> LeaseLost:
    """The error of a worker whose claim is no longer the newest."""
    return LeaseLost(f"Task {held.task_id} is held by another worker, or was ended.")


def as_parameters(holder: Holder) -> dict[str, Any]:
    """What `TAKE` needs to know of who claims."""
    return {each.name: getattr(holder, each.name) for each in fields(holder)}


def claim_of(row: Any) -> Claim:
    """The claim in a row of `RETURNING`."""
    return Claim(
        task_id=row.id,
        epoch=row.epoch,
        agent=row.agent,
        deliveries=row.deliveries,
        attempts=row.attempts,
        traceparent=row.traceparent,
        is_first=row.is_first,
    )
