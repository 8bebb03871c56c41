"""Finds the task that is next for a free slot, and claims it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import structlog
from sqlalchemy import Engine

from fleet_contracts.envelope import TaskEnvelope, parse_envelope
from fleet_contracts.errors import InvalidEnvelope
from fleet_workers.controller.shares import Shares
from fleet_workers.store import fair_claims, recovery
from fleet_workers.store.claims import Claim, Holder
from fleet_workers.store.engine import store_errors
from fleet_workers.store.fair_claims import Next
from fleet_workers.store.limits import AtLimit

log = structlog.get_logger()

_ROUNDS = 50  # at limits, or out of turn: then others may look, and this slot looks again later


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A claimed task. `since` is when the claim was asked for (time.monotonic)."""

    claim: Claim
    envelope: TaskEnvelope
    since: float


class Idle(StrEnum):
    """Why there is no task: none waits, or what waits may not begin for now."""

    EMPTY = "empty"
    FOR_NOW = "for_now"


class Turns:
    """One a process, used by every slot."""

    def __init__(self, engine: Engine, holder: Holder, shares: Shares) -> None:
        self._engine = engine
        self._holder = holder
        self._shares = shares

    def take_next(self, agents: Sequence[str]) -> Taken | Idle:
        """Claim the fairest queued task of these agents, and count it in the shares.

        Raises:
            Unavailable: The store is away.
        """
        for _ in range(_ROUNDS):
            since = time.monotonic()
            standing = self._shares.standing()
            found = fair_claims.take_next(self._engine, agents, self._holder, standing)
            if found is None:
                held_back = standing.at_limit or standing.fewer_than is not None
                return Idle.FOR_NOW if held_back else Idle.EMPTY
            envelope = self._read(found)
            if envelope is None:
                continue
            claim = found.claim or self._claim_with_care(found, envelope)
            if claim is not None:
                self._shares.begin(found.tenant, found.weight)
                return Taken(claim=claim, envelope=envelope, since=since)
        return Idle.FOR_NOW

    def _read(self, found: Next) -> TaskEnvelope | None:
        try:
            return parse_envelope(found.envelope)
        except InvalidEnvelope as error:
            log.warning("task.broken", task=str(found.task_id), error=str(error))
            with store_errors(), self._engine.begin() as connection:
                if found.claim is not None:
                    recovery.requeue_held(connection, {found.task_id: found.claim.epoch})
                recovery.bury_broken(connection, found.task_id, error=error)
            return None

    def _claim_with_care(self, found: Next, envelope: TaskEnvelope) -> Claim | None:
        with store_errors(), self._engine.begin() as connection:
            claim = fair_claims.claim_with_care(connection, found, envelope, self._holder)
        if isinstance(claim, AtLimit):
            self._shares.note_full(claim)
            return None
        return claim
