"""Messages to the broker that were decided in a transaction and are sent after its commit."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, delete, func, insert, select, update

from fleet_contracts.codec import CORRELATION_KEY, WireMessage, encode_task
from fleet_contracts.envelope import TaskEnvelope, parse_envelope
from fleet_contracts.outcome import Outcome
from fleet_contracts.topology import AGENTS_EXCHANGE
from fleet_workers.store.tables import outbox, tasks


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One message waiting to be sent."""

    id: int
    exchange: str
    message: WireMessage
    tries: int


_LOAN = timedelta(seconds=30)
_LONGEST_WAIT = timedelta(minutes=10)  # the postman waits for 60 s at most

FIRST_SWEEP = timedelta(seconds=2)
"""The process that wrote a letter sends it at once; after this time any janitor may."""


def post(connection: Connection, exchange: str, message: WireMessage) -> Letter:
    """Put a message into the outbox of this transaction."""
    letter_id = connection.execute(
        insert(outbox)
        .values(
            exchange=exchange,
            routing_key=message.routing_key,
            headers=message.headers,
            properties=message.properties,
            body=message.body,
            try_at=func.now() + FIRST_SWEEP,
        )
        .returning(outbox.c.id)
    ).scalar_one()
    return Letter(id=letter_id, exchange=exchange, message=message, tries=0)


def post_tasks(
    connection: Connection, found: Sequence[tuple[TaskEnvelope, str | None]]
) -> list[Letter]:
    """Post the messages of stored tasks, each with its trace, in one round trip."""
    messages = [
        encode_task(envelope, agent=envelope.agent, traceparent=traceparent, stored=True)
        for envelope, traceparent in found
    ]
    if not messages:
        return []
    ids = connection.execute(
        insert(outbox)
        .values(try_at=func.now() + FIRST_SWEEP)
        .returning(outbox.c.id, sort_by_parameter_order=True),
        [
            {
                "exchange": AGENTS_EXCHANGE,
                "routing_key": each.routing_key,
                "headers": each.headers,
                "properties": each.properties,
                "body": each.body,
            }
            for each in messages
        ],
    ).scalars()
    return [
        Letter(id=letter_id, exchange=AGENTS_EXCHANGE, message=message, tries=0)
        for letter_id, message in zip(ids, messages, strict=True)
    ]


def post_task(
    connection: Connection, envelope: TaskEnvelope, *, agent: str, traceparent: str | None
) -> Letter:
    """Put the message that sends a worker to a stored task into this transaction's outbox."""
    message = encode_task(envelope, agent=agent, traceparent=traceparent, stored=True)
    return post(connection, AGENTS_EXCHANGE, message)


def wake(connection: Connection, task_ids: Sequence[UUID]) -> list[Letter]:
    """Post the messages that send workers to these stored tasks.

    Raises:
        InvalidEnvelope: A task's row holds no envelope that can be read.
    """
    rows = connection.execute(
        select(tasks.c.envelope, tasks.c.agent, tasks.c.traceparent).where(tasks.c.id.in_(task_ids))
    )
    return [
        post_task(
            connection,
            parse_envelope(row.envelope),
            agent=row.agent,
            traceparent=row.traceparent,
        )
        for row in rows.all()
    ]


def post_reply(connection: Connection, envelope: TaskEnvelope, outcome: Outcome) -> Letter:
    """Post the outcome to the queue that the envelope's `reply_to` names.

    Its `correlation_id` is what the metadata says under that name, else the task's id.
    """
    message = plain_message(
        str(envelope.reply_to),
        outcome.model_dump_json(),
        headers={"task_id": str(envelope.id)},
        correlation_id=envelope.metadata.get(CORRELATION_KEY, str(envelope.id)),
    )
    return post(connection, "", message)


def take_due(connection: Connection, *, limit: int) -> list[Letter]:
    """Lock letters whose time has come, skipping those that another process is sending.

    A time further away than any wait was written before the clock was put back.
    """
    rows = connection.execute(
        select(outbox)
        .where((outbox.c.try_at <= func.now()) | (outbox.c.try_at > func.now() + _LONGEST_WAIT))
        .order_by(outbox.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [
        Letter(
            id=row.id,
            exchange=row.exchange,
            message=WireMessage(
                routing_key=row.routing_key,
                body=row.body,
                headers=row.headers,
                properties=row.properties,
            ),
            tries=row.tries,
        )
        for row in rows
    ]


def lend(connection: Connection, letter_ids: Iterable[int]) -> None:
    """Keep letters from other janitors while the caller sends them after its commit."""
    if ids := list(letter_ids):
        connection.execute(
            update(outbox).where(outbox.c.id.in_(ids)).values(try_at=func.now() + _LOAN)
        )


def mark_sent(connection: Connection, letter_ids: Iterable[int]) -> None:
    """Forget letters that the broker has confirmed."""
    connection.execute(delete(outbox).where(outbox.c.id.in_(list(letter_ids))))


def mark_failed(connection: Connection, letter: Letter, *, error: str, wait: timedelta) -> None:
    """Keep a letter for another try after `wait`."""
    connection.execute(
        update(outbox)
        .where(outbox.c.id == letter.id)
        .values(tries=letter.tries + 1, last_error=error[:500], try_at=func.now() + wait)
    )


def count_waiting(connection: Connection) -> int:
    """Number of letters not yet confirmed by the broker."""
    return connection.execute(select(func.count()).select_from(outbox)).scalar_one()


def plain_message(
    routing_key: str,
    body: str,
    headers: dict[str, Any] | None = None,
    *,
    correlation_id: str | None = None,
) -> WireMessage:
    """A JSON message for readers that know nothing of Celery."""
    return WireMessage(
        routing_key=routing_key,
        body=body,
        headers=headers or {},
        properties={
            "content_type": "application/json",
            "content_encoding": "utf-8",
            "delivery_mode": 2,
            **({"correlation_id": correlation_id} if correlation_id else {}),
        },
    )
