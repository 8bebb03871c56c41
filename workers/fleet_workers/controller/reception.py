"""Takes messages in: what can be a task stands in the store afterwards, or is a dead letter."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog
from sqlalchemy import Engine

from fleet_contracts.codec import valid_traceparent
from fleet_contracts.envelope import AUTO_AGENT, TaskEnvelope, parse_envelope
from fleet_contracts.errors import FleetError, InvalidInput
from fleet_workers.agents import AgentCatalogue
from fleet_workers.controller.run_traces import trace_for_new
from fleet_workers.store import accounts, arrivals, dead_letters, tasks
from fleet_workers.store.arrivals import Arrival
from fleet_workers.store.engine import store_errors

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A message as it came: `traceparent` is its header, of whatever kind.

    `stored` is its hint that the task stands in the store, `submitted_at` the producer's time.
    """

    payload: object
    queue: str
    traceparent: object = None
    stored: bool = False
    submitted_at: datetime | None = None


class Reception:
    """One a process, used by every slot."""

    def __init__(self, engine: Engine, catalogue: AgentCatalogue) -> None:
        self._engine = engine
        self._catalogue = catalogue

    def read(self, delivery: Delivery) -> Arrival | None:
        """The task in a message. None where there is none: the message is among the dead letters.

        Raises:
            Unavailable: The store is away, and the message cannot be buried.
        """
        payload, envelope = delivery.payload, None
        trace = valid_traceparent(delivery.traceparent)
        try:
            envelope = parse_envelope(payload)
            # A stored task whose agent is not known is itself given up, with its journal.
            if envelope.agent != AUTO_AGENT and not delivery.stored:
                self._catalogue.get(envelope.agent)
        except InvalidInput as error:
            body = payload if isinstance(payload, str) else json.dumps(payload, default=str)
            self.bury(
                envelope.to_json() if envelope else body,
                error,
                queue=delivery.queue,
                traceparent=trace,
                of=envelope,
            )
            return None
        if trace is None and not delivery.stored:
            trace = trace_for_new(envelope.id)
        return Arrival(
            envelope=envelope,
            traceparent=trace,
            submitted_at=delivery.submitted_at,
            queue=delivery.queue,
            is_stored=delivery.stored,
        )

    def take_in(self, messages: Sequence[Arrival]) -> set[UUID]:
        """Make sure that tasks stand in the store; gives the ids of those that are new.

        What is at odds with what the store has becomes a dead letter.

        Raises:
            Unavailable: The store is away. What was written meanwhile stays; the same call again
                does no harm.
        """
        new: set[UUID] = set()
        if plain := [each for each in messages if not each.envelope.is_timed]:
            new, odd = arrivals.take_in(self._engine, plain)
        else:
            odd = []
        for each in [*odd, *(one for one in messages if one.envelope.is_timed)]:
            try:
                if self._take_in_with_care(each):
                    new.add(each.envelope.id)
            except InvalidInput as error:
                self.bury(
                    each.envelope.to_json(),
                    error,
                    queue=each.queue,
                    traceparent=each.traceparent,
                    of=each.envelope,
                )
        return new

    def bury(
        self,
        body: str,
        error: FleetError,
        *,
        queue: str,
        traceparent: str | None = None,
        of: TaskEnvelope | None = None,
    ) -> None:
        """Put a message that cannot become a task among the dead letters."""
        with store_errors(), self._engine.begin() as connection:
            dead_letters.add(
                connection,
                reason=error.code,
                error=str(error),
                body=body,
                queue=queue,
                traceparent=traceparent,
                task_id=of.id if of else None,
                tenant=of.tenant if of else None,
                agent=of.agent if of else None,
            )
        log.warning("message.dead", reason=error.code, error=str(error), queue=queue)

    def _take_in_with_care(self, arrival: Arrival) -> bool:
        envelope = arrival.envelope
        with store_errors(), self._engine.begin() as connection:
            accounts.require_tenant(connection, envelope.tenant)
            return tasks.accept(
                connection,
                envelope,
                traceparent=arrival.traceparent,
                submitted_at=arrival.submitted_at,
            )
