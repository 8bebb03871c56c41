"""One round of the janitor. Any number of janitors may sweep at once."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from uuid import UUID

import structlog
from sqlalchemy import Connection, Engine

from fleet_contracts.envelope import parse_envelope
from fleet_contracts.errors import InvalidEnvelope, Unavailable
from fleet_workers.broker.postman import Postman
from fleet_workers.controller.run_traces import tell_lost_runs
from fleet_workers.review import decisions
from fleet_workers.review.decisions import Remember, forget
from fleet_workers.store import outbox, pools, put_off, recovery, views
from fleet_workers.store.engine import store_errors
from fleet_workers.store.outbox import Letter
from fleet_workers.store.pools import Worker
from fleet_workers.store.run_traces import LostRun, lost_runs
from fleet_workers.telemetry import traces

log = structlog.get_logger()

_ABANDONED = "abandoned"
_BATCH = 200  # rows a round: short transactions, and other janitors get their share
_SILENCE = timedelta(seconds=10)
"""A task queued for this long without a claim is woken again, where its queue is empty."""
_LONG_SILENCE = timedelta(minutes=10)
"""As above, whatever stands in the queue: now and then a message is lost among others."""

Find = Callable[[Connection], list[UUID]]


class Sweeper:
    """Finds what nobody holds and sets it going.

    `remember` adds what people outside have answered to the session's memory.
    """

    def __init__(self, engine: Engine, postman: Postman, *, remember: Remember = forget) -> None:
        self._engine = engine
        self._postman = postman
        self._remember = remember

    def sweep(self) -> int:
        """Requeue what is due, abandoned or unwoken, end what is overdue, send what is unsent.

        Gives the number of rows touched.

        Raises:
            Unavailable: The store is away.
        """
        touched = self._wake("due", lambda c: recovery.requeue_due(c, limit=_BATCH))
        touched += self._wake("put off", lambda c: put_off.make_due(c, limit=_BATCH))
        touched += self._wake(_ABANDONED, lambda c: recovery.requeue_abandoned(c, limit=_BATCH))
        touched += self._wake("unwoken", lambda c: recovery.requeue_unwoken(c, limit=_BATCH))
        touched += self._resume_decided()
        with store_errors(), self._engine.begin() as connection:
            expired = recovery.expire_overdue(connection, limit=_BATCH)
        if expired:
            log.info("janitor.expired", tasks=len(expired))
        return touched + len(expired) + self._send_waiting()

    def wake_forgotten(self) -> int:
        """Wake queued tasks whose message seems to be lost. Dearer than a sweep, and rarer needed.

        Where as many messages wait as tasks, none is lost: they only wait for a free slot. Workers
        whose slots are all taken are sent nothing, for they look for the next task themselves.

        Raises:
            Unavailable: The store is away.
        """
        with store_errors(), self._engine.connect() as connection:
            silent = recovery.count_forgotten(connection, silence=_SILENCE)
            workers = pools.workers_alive(connection) if silent else []
        touched = 0
        for agent, number in silent.items():
            most = _free_slots(workers, agent, otherwise=number)
            try:
                waiting = self._postman.count_messages(agent)
            except Unavailable as error:
                log.warning("janitor.broker_unavailable", error=str(error))
                return touched
            silence = _SILENCE if waiting == 0 else _LONG_SILENCE
            touched += self._wake(
                "forgotten", _forgotten(agent, silence, min(number, most) - waiting)
            )
        return touched

    def _wake(self, why: str, find: Find) -> int:
        lost: list[LostRun] = []
        with store_errors(), self._engine.begin() as connection:
            found = find(connection)
            if why == _ABANDONED and traces.live() is not None:
                lost = lost_runs(connection, found)
            letters = _letters(connection, found)
        tell_lost_runs(lost)
        if found:
            log.info("janitor.woken", why=why, tasks=len(found))
            self._postman.send(letters)
        return len(found)

    def _resume_decided(self) -> int:
        with store_errors(), self._engine.begin() as connection:
            resumed, letters = decisions.resume_decided(
                connection, limit=_BATCH, remember=self._remember
            )
        if resumed:
            log.info("janitor.resumed", reviews=resumed)
            self._postman.send(letters)
        return resumed

    def _send_waiting(self) -> int:
        with store_errors(), self._engine.begin() as connection:
            letters = outbox.take_due(connection, limit=_BATCH)
            outbox.lend(connection, [letter.id for letter in letters])
        self._postman.send(letters)
        return len(letters)


def _free_slots(workers: Sequence[Worker], agent: str, *, otherwise: int) -> int:
    """How many slots that serve an agent are free; `otherwise` where none serves it at all."""
    serving = [each.free_slots for each in workers if agent in each.agents]
    return sum(serving) if serving else otherwise


def _forgotten(agent: str, silence: timedelta, missing: int) -> Find:
    return lambda connection: recovery.requeue_forgotten(
        connection, agent=agent, silence=silence, limit=max(0, min(_BATCH, missing))
    )


def _letters(connection: Connection, task_ids: list[UUID]) -> list[Letter]:
    """The letters for tasks that were just queued; one whose row is broken is buried instead."""
    if not task_ids:
        return []
    try:
        return outbox.wake(connection, task_ids)
    except InvalidEnvelope:
        pass
    letters = []
    for task_id in task_ids:
        try:
            parse_envelope(views.envelope_of(connection, task_id))
        except InvalidEnvelope as error:
            log.warning("janitor.broken_task", task=str(task_id), error=str(error))
            recovery.bury_broken(connection, task_id, error=error)
        else:
            letters += outbox.wake(connection, [task_id])
    return letters
