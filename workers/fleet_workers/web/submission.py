"""Takes tasks in: the row and its message in one transaction, so that a 202 is a promise."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from psycopg.errors import LockNotAvailable
from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from fleet_contracts.envelope import AUTO_AGENT, TaskEnvelope, parse_envelope
from fleet_contracts.errors import FleetError, InvalidEnvelope, InvalidInput
from fleet_workers.agents import AgentCatalogue
from fleet_workers.store import outbox, put_off, tasks
from fleet_workers.store.accounts import KeyHolder, require_tenant
from fleet_workers.store.outbox import Letter
from fleet_workers.web.access import tenant_for
from fleet_workers.web.bodies import check_envelope_size
from fleet_workers.web.errors import BeingTaken
from fleet_workers.web.problems import describe
from fleet_workers.web.request_traces import send_span
from fleet_workers.web.resources import WebResources

_LOCK_WAIT_MS = 2000  # a first request commits within milliseconds; beyond this its process hangs
_CHUNK = 50  # tasks a transaction: PostgreSQL keeps 64 savepoints a session in shared memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A task that is in the store.

    `letter` wakes a worker; None where the task was known before, or waits for its time.
    """

    task_id: UUID
    is_new: bool
    letter: Letter | None


class ProblemOfItem(BaseModel):
    """Why one task of a bulk was not taken."""

    model_config = ConfigDict(frozen=True)

    code: str
    detail: str


class BulkResult(BaseModel):
    """What became of one task of a bulk. `known` is a repeat of a task taken before."""

    model_config = ConfigDict(frozen=True)

    id: UUID | None = None
    status: Literal["accepted", "known", "error"]
    error: ProblemOfItem | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """One caller's way to hand in tasks."""

    resources: WebResources
    holder: KeyHolder
    traceparent: str | None

    def take_one(self, fields: dict[str, Any], *, header_key: str | None) -> Taken:
        """Take one task, or find it where it was taken before.

        A repeat of a task that is being taken at this moment waits for the first and gets the
        same id; only where the first hangs does it end with `BeingTaken`.

        Raises:
            InvalidInput: The task cannot be taken as it is.
            Forbidden: It names another tenant than the key's.
            BeingTaken: The first request with the same key has not ended in two seconds.
            Unavailable: The store is away; nothing is known to be written.
        """
        envelope = self._read(_with_key(fields, header_key))
        with self.resources.transaction() as connection:
            _limit_lock_wait(connection)
            return self._write(connection, envelope)

    def take_many(self, items: Sequence[object]) -> tuple[list[BulkResult], list[Letter]]:
        """Take each task that can be taken; gives results in the order of `items`."""
        results: list[BulkResult | None] = [None] * len(items)
        envelopes: list[tuple[int, TaskEnvelope]] = []
        for place, item in enumerate(items):
            try:
                if not isinstance(item, dict):
                    raise InvalidEnvelope("The task must be a JSON object.")
                envelopes.append((place, self._read(item)))
            except FleetError as error:
                results[place] = _failed(error)
        # Two bulks with the same keys in different order would lock each other out.
        envelopes.sort(key=_place_in_line)
        letters: list[Letter] = []
        for chunk in _chunks(envelopes):
            outcomes, posted = self._take_chunk([envelope for _, envelope in chunk])
            letters += posted
            for (place, _), outcome in zip(chunk, outcomes, strict=True):
                results[place] = outcome
        return [result for result in results if result is not None], letters

    def _take_chunk(
        self, envelopes: Sequence[TaskEnvelope]
    ) -> tuple[list[BulkResult], list[Letter]]:
        results: list[BulkResult] = []
        letters: list[Letter] = []
        try:
            with self.resources.transaction() as connection:
                _limit_lock_wait(connection)
                for envelope in envelopes:
                    try:
                        with connection.begin_nested():
                            taken = self._write(connection, envelope)
                    except FleetError as error:
                        results.append(_failed(error, envelope.id))
                        continue
                    letters += [taken.letter] if taken.letter else []
                    status: Literal["accepted", "known"] = "accepted" if taken.is_new else "known"
                    results.append(BulkResult(id=taken.task_id, status=status))
        except FleetError as error:
            return [_failed(error, envelope.id) for envelope in envelopes], []
        return results, letters

    def _read(self, fields: dict[str, Any]) -> TaskEnvelope:
        check_envelope_size(fields)
        envelope = parse_envelope(
            {**fields, "tenant": tenant_for(self.holder, fields.get("tenant"))}
        )
        _check_agent(self.resources.catalogue, envelope.agent)
        return envelope

    def _write(self, connection: Connection, envelope: TaskEnvelope) -> Taken:
        require_tenant(connection, envelope.tenant, remedy="ask an operator to add it")
        with send_span(envelope) as span:
            return self._store(connection, envelope, span.traceparent or self.traceparent)

    def _store(self, connection: Connection, envelope: TaskEnvelope, trace: str | None) -> Taken:
        try:
            new = tasks.accept(connection, envelope, traceparent=trace)
        except OperationalError as error:
            if isinstance(error.orig, LockNotAvailable):
                raise BeingTaken(
                    "A request with the same id or idempotency key is being taken. "
                    "Send this one again in a moment: it will get the same id."
                ) from error
            raise
        if not new:
            return Taken(task_id=envelope.id, is_new=False, letter=None)
        if put_off.waits(connection, envelope):
            return Taken(task_id=envelope.id, is_new=True, letter=None)
        letter = outbox.post_task(connection, envelope, agent=envelope.agent, traceparent=trace)
        return Taken(task_id=envelope.id, is_new=True, letter=letter)


def _with_key(fields: dict[str, Any], header_key: str | None) -> dict[str, Any]:
    if header_key is None:
        return fields
    if fields.get("idempotency_key") not in (None, header_key):
        raise InvalidInput("Idempotency-Key and idempotency_key disagree: send one of them.")
    return {**fields, "idempotency_key": header_key}


def _check_agent(catalogue: AgentCatalogue, name: str) -> None:
    if name != AUTO_AGENT:
        catalogue.get(name)


def _limit_lock_wait(connection: Connection) -> None:
    connection.execute(text(f"SET LOCAL lock_timeout = {_LOCK_WAIT_MS}"))


def _place_in_line(item: tuple[int, TaskEnvelope]) -> tuple[str, str, str, int]:
    """By id; under a debounce key by the order sent, for there the last counts."""
    place, envelope = item
    key = envelope.debounce_key
    last = envelope.id.int if key is None else place
    return envelope.tenant, envelope.agent, key or "", last


def _chunks(
    envelopes: list[tuple[int, TaskEnvelope]],
) -> Iterator[list[tuple[int, TaskEnvelope]]]:
    for start in range(0, len(envelopes), _CHUNK):
        yield envelopes[start : start + _CHUNK]


def _failed(error: FleetError, task_id: UUID | None = None) -> BulkResult:
    problem = describe(error)
    return BulkResult(
        id=task_id, status="error", error=ProblemOfItem(code=problem.code, detail=problem.detail)
    )
