"""Runs a dead task again against its record: no effect is made, and what would change is told."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Engine

from fleet_contracts.envelope import TaskEnvelope
from fleet_contracts.errors import FleetError, InvalidInput, PermanentError, TransientError
from fleet_contracts.outcome import Outcome
from fleet_workers.agents import AgentCatalogue
from fleet_workers.controller.conclude import outcome_of
from fleet_workers.controller.decision import Reroute
from fleet_workers.controller.loop import run_loop
from fleet_workers.controller.ports import Ports
from fleet_workers.deadletters.ledger import LedgerTools, WouldDo
from fleet_workers.deadletters.message import read_message
from fleet_workers.deadletters.replay import ReplayResult, find_letter, refused, replay_letter
from fleet_workers.deadletters.trial import Trial, agents_on_trial
from fleet_workers.models.messages import ChatModel, ChatReply, ChatRequest, Message
from fleet_workers.store import views
from fleet_workers.store.engine import store_errors
from fleet_workers.store.journal import Step, StepKind, read_steps
from fleet_workers.store.memory_journal import MemoryJournal

MAX_DRY_RUNS = 20
"""Dry runs in one request: each may ask the model as often as the agent's file allows."""
_AT_ONCE = 4  # most of a dry run is waiting for the model

Mode = Literal["resume", "from_start"]


class Fault(BaseModel):
    """Why a dry run came to no end. `retryable` tells that a replay would wait and try again."""

    model_config = ConfigDict(frozen=True)

    code: str
    detail: str
    retryable: bool


class DryRun(BaseModel):
    """What a replay would come to now, beside what was recorded.

    `mode` is `resume` where the recorded plans were used, as a replay does, and `from_start` where
    the model was asked anew. `answered_from_record` counts tool results taken from the journal,
    `reads_made` those that were looked up for real. Nothing was written anywhere.
    """

    model_config = ConfigDict(frozen=True)

    letter_id: UUID
    task_id: UUID
    agent: str
    release: str | None
    mode: Mode
    recorded: Outcome | None
    outcome: Outcome | None = None
    fault: Fault | None = None
    would_do: list[WouldDo]
    answered_from_record: int
    reads_made: int
    model_calls: int
    tokens: int


class DryRuns(BaseModel):
    """Dry runs in the order asked for, and the letters that a replay would refuse, with why."""

    model_config = ConfigDict(frozen=True)

    dry_runs: list[DryRun]
    refused: list[ReplayResult]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """A dead task as it stands in the store, on the agents that it is tried with."""

    letter_id: UUID
    agent: str
    envelope: TaskEnvelope
    catalogue: AgentCatalogue
    steps: Sequence[Step]
    recorded: Outcome | None


class DryRunner:
    """Dry-runs letters, one after another. Safe to use from several threads."""

    def __init__(
        self,
        *,
        engine: Engine,
        installed: AgentCatalogue,
        ports: Ports,
        agents_path: Sequence[Path] = (),
        trial: Trial | None = None,
    ) -> None:
        self._engine = engine
        self._installed = installed
        self._ports = ports
        self._agents_path = agents_path
        self._trial = trial or Trial()

    def run(self, letter_id: UUID, *, mode: Mode, tenant: str | None = None) -> DryRun:
        """Tell what a replay would do.

        Raises:
            FleetError: What `replay_letter` raises, where it would refuse this letter.
            ConfigurationError: The release to be tried is wrong.
            CorruptJournal: The journal cannot be read.
            Unavailable: The store is away.
        """
        case = self._open(letter_id, tenant)
        model = _CountingModel(self._ports.model)
        fresh = mode == "from_start"
        journal = MemoryJournal(() if fresh else case.steps)
        tools = LedgerTools(self._ports.tools, case.steps if fresh else ())
        ports = replace(
            self._ports,
            model=model,
            tools=tools,
            recall=_recall(case.steps, otherwise=self._ports.recall),
        )
        agent, outcome, fault = _follow(case, journal, ports)
        done = 0 if fresh else sum(step.kind is StepKind.TOOL for step in case.steps)
        return DryRun(
            letter_id=letter_id,
            task_id=case.envelope.id,
            agent=agent,
            release=case.catalogue.get(agent).id if agent in case.catalogue else None,
            mode=mode,
            recorded=case.recorded,
            outcome=outcome,
            fault=fault,
            would_do=tools.would_do,
            answered_from_record=tools.answered + done,
            reads_made=tools.reads_made,
            model_calls=model.calls,
            tokens=model.tokens,
        )

    def run_all(
        self, letter_ids: Sequence[UUID], *, mode: Mode, tenant: str | None = None
    ) -> DryRuns:
        """Tell it of several letters; some run at the same time.

        Raises:
            ConfigurationError: The release to be tried is wrong.
            Unavailable: The store is away.
        """

        def attempt(letter_id: UUID) -> DryRun | ReplayResult:
            try:
                return self.run(letter_id, mode=mode, tenant=tenant)
            except (InvalidInput, PermanentError) as error:
                return refused(letter_id, error)

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            found = list(pool.map(attempt, letter_ids))
        return DryRuns(
            dry_runs=[each for each in found if isinstance(each, DryRun)],
            refused=[each for each in found if isinstance(each, ReplayResult)],
        )

    def _open(self, letter_id: UUID, tenant: str | None) -> _Case:
        with store_errors(), self._engine.begin() as connection:
            letter = find_letter(connection, letter_id, tenant=tenant)
            envelope = read_message(letter.body)
            view = views.view(connection, envelope.id, tenant=None)
            agent = view.agent if view else envelope.agent
            catalogue = agents_on_trial(
                self._installed, self._trial, agent=agent, agents_path=self._agents_path
            )
            # The replay itself says whether it would be refused; nothing of it is kept.
            attempt = connection.begin_nested()
            try:
                replay_letter(
                    connection, letter_id, catalogue=catalogue, by="dry run", tenant=tenant
                )
            finally:
                attempt.rollback()
            return _Case(
                letter_id=letter_id,
                agent=agent,
                envelope=envelope,
                catalogue=catalogue,
                steps=read_steps(connection, envelope.id),
                recorded=view.outcome if view else None,
            )


def _follow(
    case: _Case, journal: MemoryJournal, ports: Ports
) -> tuple[str, Outcome | None, Fault | None]:
    """Run to the end, over triage where it is due; gives the agent that the task ended with."""
    agent = case.agent
    try:
        while True:
            decision = run_loop(
                agent=agent,
                envelope=case.envelope,
                catalogue=case.catalogue,
                journal=journal,
                ports=ports,
            )
            if not isinstance(decision, Reroute):
                return agent, outcome_of(decision, journal.steps()), None
            agent = decision.agent
    except FleetError as error:
        retryable = isinstance(error, TransientError)
        return agent, None, Fault(code=error.code, detail=str(error), retryable=retryable)


def _recall(
    steps: Sequence[Step], *, otherwise: Callable[[TaskEnvelope], list[Message]]
) -> Callable[[TaskEnvelope], list[Message]]:
    """Earlier turns as the task saw them: the session may have gone on since."""
    for step in steps:
        if step.kind is StepKind.MEMORY and step.result is not None:
            turns: list[Message] = list(step.result["turns"])
            return lambda _envelope: turns
    return otherwise


class _CountingModel:
    """A model whose calls and tokens are counted."""

    def __init__(self, model: ChatModel) -> None:
        self._model = model
        self.calls = 0
        self.tokens = 0

    def complete(self, request: ChatRequest) -> ChatReply:
        """Ask the model; its errors are its own."""
        self.calls += 1
        reply = self._model.complete(request)
        self.tokens += reply.prompt_tokens + reply.completion_tokens
        return reply
