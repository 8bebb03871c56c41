"""Carries filed questions to the provider's Batch API, and their answers to the tasks that wait."""

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from typing import Final

import structlog
from sqlalchemy import Connection, Engine

from fleet_contracts.errors import ConfigurationError, TransientError
from fleet_workers.janitor.service import Chore, chores_at_work
from fleet_workers.models.bulk.batch_api import BatchApi, Question
from fleet_workers.models.configuration import addresses_of
from fleet_workers.models.endpoint import Endpoint, Refusal
from fleet_workers.models.faults import is_about_key, is_away, is_not_served
from fleet_workers.settings import Settings
from fleet_workers.store import bulk_requests
from fleet_workers.store.bulk_requests import BulkState, Parcel
from fleet_workers.store.engine import store_errors

log = structlog.get_logger()

GATHERED: Final = timedelta(seconds=30)
"""So long the oldest question waits for others to go along."""

ANSWERED_BY: Final = timedelta(minutes=5)
"""A janitor that has taken questions for longer than this and not sent them has stopped."""

_Step = Callable[[BatchApi, Parcel], int]
_MOST = 200  # questions a file: of the largest tasks 50 MB, and their answers are read at once
_EVERY = timedelta(seconds=10)
_STOP_SECONDS = 2.0  # what is cut off is found again
_BATCH = 200  # rows a round, as in a sweep


class BulkClerk:
    """Does one round after another; any number of janitors may.

    Each question is taken by one of them. If that one stops before it has noted the provider's
    name for them, another looks there for the batch by ours, and goes on with it. Only where the
    provider does not list it are they sent again; then they may be paid twice, but each has one
    answer, the first, and an answer is a plan, whose effects have their own guards.
    """

    def __init__(
        self,
        engine: Engine,
        apis: Mapping[str, BatchApi],
        *,
        gathered: timedelta = GATHERED,
        answered_by: timedelta = ANSWERED_BY,
    ) -> None:
        self._engine = engine
        self._apis = apis
        self._gathered = gathered
        self._answered_by = answered_by

    def work(self) -> int:
        """Send, find again, collect, wake and tidy; gives the number of things touched.

        Raises:
            Unavailable: The store is away.
        """
        touched = self._send()
        with self._transaction() as connection:
            behind = bulk_requests.left_behind(connection, older_than=self._answered_by)
            sent = bulk_requests.with_provider(connection)
        touched += sum(self._with_api(each, self._find_again) for each in behind)
        touched += sum(self._with_api(each, self._collect) for each in sent)
        with self._transaction() as connection:
            touched += len(bulk_requests.wake(connection, limit=_BATCH))
            return touched + bulk_requests.drop_ended(connection, limit=_BATCH)

    def _send(self) -> int:
        name = f"fleet-{secrets.token_hex(12)}"
        with self._transaction() as connection:
            parcel = bulk_requests.take(connection, name, gathered=self._gathered, most=_MOST)
        return 0 if parcel is None else self._with_api(parcel, self._send_parcel)

    def _send_parcel(self, api: BatchApi, parcel: Parcel) -> int:
        questions = [
            Question(key=each.key, path=each.path, body=each.body) for each in parcel.requests
        ]
        batch = api.send(parcel.name, questions)
        with self._transaction() as connection:
            bulk_requests.note_sent(connection, parcel.name, batch)
        log.info("bulk.sent", questions=len(questions), batch=batch)
        return len(questions)

    def _find_again(self, api: BatchApi, parcel: Parcel) -> int:
        batch = api.find(parcel.name)
        with self._transaction() as connection:
            if batch is None:
                bulk_requests.put_back(connection, parcel.name)
            else:
                bulk_requests.note_sent(connection, parcel.name, batch)
        log.warning("bulk.found_again", batch=batch, name=parcel.name)
        return 1

    def _collect(self, api: BatchApi, parcel: Parcel) -> int:
        progress = api.progress(parcel.name)
        if not progress.is_over:
            return 0
        answers = list(api.answers(progress))
        with self._transaction() as connection:
            for each in answers:
                if each.reply is not None:
                    bulk_requests.note_answer(connection, each.key, each.reply)
                else:
                    bulk_requests.give_up(connection, parcel.name, each.error, keys=[each.key])
            bulk_requests.give_up(connection, parcel.name, f"The batch is {progress.status}.")
        log.info("bulk.collected", batch=parcel.name, answers=len(answers), status=progress.status)
        return max(1, len(answers))

    def _with_api(self, parcel: Parcel, do: _Step) -> int:
        """Do a step; what a refusal means is the same for all of them."""
        api = self._apis.get(parcel.endpoint)
        if api is None:
            self._give_up(parcel, f"No key for the endpoint {parcel.endpoint} is set here.")
            return 1
        try:
            return do(api, parcel)
        except Refusal as refusal:
            # A key that is wrong for now must not lose answers that are under way.
            if is_away(refusal) or (is_about_key(refusal) and not parcel.requests):
                log.warning("bulk.endpoint_away", status=refusal.status, error=str(refusal)[:200])
                return 0
            state = BulkState.NOT_OFFERED if is_not_served(refusal) else BulkState.FAILED
            self._give_up(parcel, f"{refusal.status}: {refusal}", state)
            return 1
        except TransientError as error:
            log.warning("bulk.endpoint_away", error=str(error))
            return 0

    def _give_up(self, parcel: Parcel, error: str, state: BulkState = BulkState.FAILED) -> None:
        with self._transaction() as connection:
            bulk_requests.give_up(connection, parcel.name, error, state=state)
        log.warning("bulk.given_up", batch=parcel.name, error=error[:200], state=str(state))

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with store_errors(), self._engine.begin() as connection:
            yield connection


@contextmanager
def bulk_at_work(settings: Settings, engine: Engine) -> Iterator[None]:
    """Let a clerk work until the block ends, in a thread of its own, for uploads take their time.

    Without a model's key its questions are given back, so that tasks ask by themselves.
    """
    with ExitStack() as opened:
        try:
            addresses = addresses_of(settings)
        except ConfigurationError:
            addresses = []
        endpoints = [opened.enter_context(closing(Endpoint(each))) for each in addresses]
        clerk = BulkClerk(engine, {each.name: BatchApi(each) for each in endpoints})
        chore = Chore("bulk", clerk.work, every=_EVERY)
        with chores_at_work("bulk", [chore], stop_seconds=_STOP_SECONDS):
            yield
