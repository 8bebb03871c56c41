"""Replays and discards dead letters one by one. Twice is once; a refusal leaves all as it was."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

import structlog
from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection, Engine

from fleet_contracts.envelope import AUTO_AGENT, TaskEnvelope, is_past
from fleet_contracts.errors import (
    Conflict,
    FleetError,
    InvalidEnvelope,
    InvalidInput,
)
from fleet_contracts.states import TaskState
from fleet_workers.agents import AgentCatalogue
from fleet_workers.deadletters.errors import AlreadySettled, NotDead, Overdue, UnknownDeadLetter
from fleet_workers.deadletters.message import read_message
from fleet_workers.store import accounts, audit, dead_letters, outbox, revival, tasks
from fleet_workers.store.audit import AuditKind, Entry
from fleet_workers.store.dead_letters import DeadLetter
from fleet_workers.store.engine import store_errors
from fleet_workers.store.outbox import Letter
from fleet_workers.store.revival import TaskFacts

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """A letter whose task is queued again. Send `wake_up` after the commit."""

    letter_id: UUID
    task_id: UUID
    wake_up: Letter


def replay_letter(
    connection: Connection,
    letter_id: UUID,
    *,
    catalogue: AgentCatalogue,
    by: str,
    tenant: str | None = None,
    note: str | None = None,
) -> Replayed:
    """Queue the task of a letter again, with its journal, and settle the letter.

    A letter without a task (nobody could read its message) is read anew and becomes a task. Where
    this raises, the caller rolls back, and the letter stays as it was. `tenant=None` reaches all.

    Raises:
        UnknownDeadLetter: There is no such letter in the tenant.
        AlreadySettled: It was replayed or discarded; the text tells when and by whom.
        NotDead: Its task is not dead; the text tells how it stands.
        Overdue: Its task's deadline has passed.
        Conflict: The task of that id has other content than the message.
        UnknownAgent: The agent is no longer installed; the text names those that are.
        UnknownTenant: The message names a tenant that does not exist.
        InvalidEnvelope: The message still cannot be read.
    """
    letter = dead_letters.settle(
        connection, letter_id, tenant=tenant, settled_as="replayed", by=by, reason=note
    )
    if letter is None:
        raise _why_not_open(connection, letter_id, tenant)
    task_id = _queue(connection, letter, catalogue)
    _note(connection, letter, AuditKind.REPLAY, task_id=task_id, by=by, why=note or "")
    (wake_up,) = outbox.wake(connection, [task_id])
    return Replayed(letter_id=letter_id, task_id=task_id, wake_up=wake_up)


class Refusal(BaseModel):
    """Why a letter was not replayed. `code` is stable, `detail` is for people."""

    model_config = ConfigDict(frozen=True)

    code: str
    detail: str


class ReplayResult(BaseModel):
    """What became of one letter."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    status: Literal["replayed", "refused"]
    task_id: UUID | None = None
    error: Refusal | None = None


def replay_letters(
    engine: Engine,
    send: Callable[[Sequence[Letter]], None],
    letter_ids: Iterable[UUID],
    *,
    catalogue: AgentCatalogue,
    by: str,
    tenant: str | None = None,
) -> list[ReplayResult]:
    """Replay these letters now, each for itself; gives results in their order.

    `send` takes the messages after the commit and never raises.

    Raises:
        Unavailable: The store is away; letters before this one stay replayed.
    """
    results: list[ReplayResult] = []
    for letter_id in letter_ids:
        try:
            with store_errors(), engine.begin() as connection:
                done = replay_letter(
                    connection, letter_id, catalogue=catalogue, by=by, tenant=tenant
                )
        except InvalidInput as error:
            results.append(refused(letter_id, error))
            continue
        send([done.wake_up])
        log.info("dead_letter.replayed", letter=str(letter_id), task=str(done.task_id), by=by)
        results.append(ReplayResult(id=letter_id, status="replayed", task_id=done.task_id))
    return results


def refused(letter_id: UUID, error: FleetError) -> ReplayResult:
    """The result of a letter that is not replayed."""
    refusal = Refusal(code=error.code, detail=str(error))
    return ReplayResult(id=letter_id, status="refused", error=refusal)


def discard_letter(
    connection: Connection, letter_id: UUID, *, by: str, reason: str, tenant: str | None = None
) -> DeadLetter:
    """Settle a letter for good. Its task stays dead; the row stays for the record.

    Raises:
        UnknownDeadLetter: There is no such letter in the tenant.
        AlreadySettled: It was replayed or discarded before.
    """
    letter = dead_letters.settle(
        connection, letter_id, tenant=tenant, settled_as="discarded", by=by, reason=reason
    )
    if letter is None:
        raise _why_not_open(connection, letter_id, tenant)
    _note(connection, letter, AuditKind.DISCARD, task_id=letter.task_id, by=by, why=reason)
    return letter


def find_letter(connection: Connection, letter_id: UUID, *, tenant: str | None) -> DeadLetter:
    """One letter, settled or not.

    Raises:
        UnknownDeadLetter: There is no such letter in the tenant.
    """
    letter = dead_letters.get(connection, letter_id, tenant=tenant)
    if letter is None:
        raise UnknownDeadLetter(
            f"No dead letter {letter_id} is known here: list them with `fleetctl dead list`."
        )
    return letter


def _note(
    connection: Connection,
    letter: DeadLetter,
    kind: AuditKind,
    *,
    task_id: UUID | None,
    by: str,
    why: str,
) -> None:
    audit.add(
        connection,
        Entry(
            kind=kind,
            who=by,
            what=f"dead letter {letter.settled_as}",
            why=why,
            tenant=letter.tenant,
            task_id=task_id,
            detail={"dead_letter": str(letter.id), "reason": letter.reason},
        ),
    )


def _why_not_open(connection: Connection, letter_id: UUID, tenant: str | None) -> FleetError:
    letter = find_letter(connection, letter_id, tenant=tenant)
    when = letter.settled_at.isoformat(timespec="seconds") if letter.settled_at else "just now"
    return AlreadySettled(
        f"Dead letter {letter_id} was {letter.settled_as} {when} by {letter.settled_by}: "
        "there is nothing left to do with it."
    )


def _queue(connection: Connection, letter: DeadLetter, catalogue: AgentCatalogue) -> UUID:
    envelope = _envelope(letter)
    task_id = letter.task_id or envelope.id
    facts = revival.facts_of(connection, task_id)
    if facts is None:
        _check_place(connection, catalogue, agent=envelope.agent, tenant=envelope.tenant)
        tasks.accept(connection, envelope, traceparent=letter.traceparent)
        return envelope.id
    if envelope.content_hash != facts.content_hash:
        raise Conflict(
            f"Task {task_id} has other content than this message, which used its id: "
            "submit the message's content under an id of its own, or discard the letter."
        )
    _check_place(connection, catalogue, agent=facts.agent, tenant=facts.tenant)
    _check_state(facts)
    if not revival.revive(connection, task_id):
        raise _not_dead(revival.facts_of(connection, task_id) or facts)
    return task_id


def _envelope(letter: DeadLetter) -> TaskEnvelope:
    try:
        return read_message(letter.body)
    except InvalidEnvelope as error:
        raise InvalidEnvelope(f"The letter's message still cannot be read. {error}") from error


def _check_place(
    connection: Connection, catalogue: AgentCatalogue, *, agent: str, tenant: str
) -> None:
    if agent != AUTO_AGENT:
        catalogue.get(agent)
    accounts.require_tenant(connection, tenant)


def _check_state(facts: TaskFacts) -> None:
    if facts.state is not TaskState.DEAD:
        raise _not_dead(facts)
    if is_past(facts.deadline, datetime.now(UTC)):
        raise Overdue(
            f"The deadline of task {facts.id} passed at {facts.deadline}: it would expire at "
            "once. Submit the request anew with a later deadline, or discard the letter."
        )


def _not_dead(facts: TaskFacts) -> NotDead:
    return NotDead(
        f"Task {facts.id} is {facts.state.value}, not dead: there is nothing to replay. "
        "Discard the letter if it is of no more use."
    )
