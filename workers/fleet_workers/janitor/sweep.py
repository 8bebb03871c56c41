"""One round of the janitor. Any number of janitors may sweep at once."""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import structlog
from sqlalchemy import Connection, Engine

from fleet_contracts.codec import encode_task
from fleet_contracts.envelope import parse_envelope
from fleet_contracts.topology import AGENTS_EXCHANGE
from fleet_workers.broker.postman import Postman
from fleet_workers.store import outbox, recovery, tasks
from fleet_workers.store.engine import store_errors
from fleet_workers.store.outbox import Letter

log = structlog.get_logger()

_BATCH = 200  # rows a round: short transactions, and other janitors get their share
_SILENCE = timedelta(minutes=2)
"""A task queued for this long without a claim is woken again: its message may be lost."""


def sweep(engine: Engine, postman: Postman) -> int:
    """Requeue what is due, abandoned or forgotten, end what is overdue, send what is unsent.

    Gives the number of rows touched.

    Raises:
        Unavailable: The store is away.
    """
    touched = _wake(engine, postman, "due", lambda c: recovery.requeue_due(c, limit=_BATCH))
    touched += _wake(
        engine, postman, "abandoned", lambda c: recovery.requeue_abandoned(c, limit=_BATCH)
    )
    touched += _wake(
        engine,
        postman,
        "forgotten",
        lambda c: recovery.requeue_forgotten(c, silence=_SILENCE, limit=_BATCH),
    )
    with store_errors(), engine.begin() as connection:
        expired = recovery.expire_overdue(connection, limit=_BATCH)
    if expired:
        log.info("janitor.expired", tasks=len(expired))
    return touched + len(expired) + _send_waiting(engine, postman)


def _wake(
    engine: Engine, postman: Postman, why: str, find: Callable[[Connection], list[UUID]]
) -> int:
    with store_errors(), engine.begin() as connection:
        letters = [_letter(connection, task_id) for task_id in find(connection)]
    if letters:
        log.info("janitor.woken", why=why, tasks=len(letters))
        postman.send(letters)
    return len(letters)


def _letter(connection: Connection, task_id: UUID) -> Letter:
    stored = tasks.wake_up(connection, task_id)
    message = encode_task(
        parse_envelope(stored.envelope), agent=stored.agent, traceparent=stored.traceparent
    )
    return outbox.post(connection, AGENTS_EXCHANGE, message)


def _send_waiting(engine: Engine, postman: Postman) -> int:
    with store_errors(), engine.begin() as connection:
        letters = outbox.take_due(connection, limit=_BATCH)
        outbox.lend(connection, [letter.id for letter in letters])
    postman.send(letters)
    return len(letters)
