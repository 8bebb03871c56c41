"""The link of the chain of models that files what has time, and finds the answer when it is there.

A task files one question in its life, its first. Whatever else it asks is asked at once.
"""

from decimal import Decimal
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy import Engine

from fleet_workers.models.asked_for import AskedFor
from fleet_workers.models.bulk.letter import Letter
from fleet_workers.models.candidates import Candidate
from fleet_workers.models.gateway import Gateway
from fleet_workers.models.messages import AskAgain, ChatModel, ChatReply, ChatRequest, Filed, Spent
from fleet_workers.store import bulk_requests
from fleet_workers.store.bulk_requests import BulkRequest, BulkState
from fleet_workers.store.engine import store_errors

log = structlog.get_logger(__name__)

LOOK_AGAIN_SECONDS: Final = 6 * 3600.0
"""A janitor wakes the task as soon as its answer is there; this is for when its word is lost."""


class Filing:
    """A `ChatModel` that files what an agent's file lets wait; safe to use from every slot."""

    def __init__(self, model: ChatModel, *, gateway: Gateway, engine: Engine) -> None:
        self._model = model
        self._gateway = gateway
        self._engine = engine

    def complete(self, request: ChatRequest) -> ChatReply:
        """Answer a request, at once or with what was filed for it.

        Raises:
            Filed: The answer comes later.
            AskAgain: None came; asked again under another key, it is asked at once.
            Interrupted: What came is no answer, and is paid for.
            Unavailable: The store is away; nothing was asked.
            FleetError: As the model that is asked.
        """
        asked = request.asked_for
        if asked is None or request.key is None or not asked.batching.bulk or not asked.is_first:
            return self._model.complete(request)
        with store_errors(), self._engine.connect() as connection:
            found = bulk_requests.of_task(connection, UUID(asked.task_id))
        if found is None:
            return self._file(request, asked, request.key)
        if found.key != request.key:
            return self._model.complete(request)
        return self._answer(found, request)

    def _file(self, request: ChatRequest, asked: AskedFor, key: str) -> ChatReply:
        letter = self._gateway.write(request)
        filed = BulkRequest(
            key=key,
            task_id=UUID(asked.task_id),
            tenant=asked.tenant,
            agent=asked.agent,
            endpoint=letter.candidate.endpoint,
            model=letter.candidate.model,
            path=letter.path,
            body=letter.body,
        )
        with store_errors(), self._engine.begin() as connection:
            if not bulk_requests.is_offered(connection, letter.candidate.endpoint):
                taken = False
            else:
                bulk_requests.file(connection, filed)
                taken = True
        if taken:
            raise _filed()
        return self._model.complete(request)

    def _answer(self, found: BulkRequest, request: ChatRequest) -> ChatReply:
        if found.state in {BulkState.FAILED, BulkState.NOT_OFFERED}:
            log.info("model.bulk_failed", error=found.error)
            nothing = Spent(cost_usd=Decimal(0))
            raise AskAgain(f"The Batch API brought no answer: {found.error}", spent=nothing)
        if found.state is not BulkState.ANSWERED:
            raise _filed()
        candidate = Candidate(model=found.model, endpoint=found.endpoint)
        letter = Letter(candidate=candidate, path=found.path, body=found.body)
        return self._gateway.read(found.reply, letter, request)


def _filed() -> Filed:
    return Filed(
        "The question waits for the provider's Batch API.", retry_after_seconds=LOOK_AGAIN_SECONDS
    )
