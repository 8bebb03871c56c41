"""Runs an agent in the real control loop, without a store, a broker or a model endpoint."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from fleet_contracts.envelope import build_envelope
from fleet_contracts.errors import ConfigurationError, TransientError
from fleet_contracts.outcome import Outcome, ReviewKind
from fleet_workers.agents import AgentCatalogue, AgentRelease
from fleet_workers.agents.release import load_release
from fleet_workers.controller.conclude import outcome_of
from fleet_workers.controller.decision import Finish, Park
from fleet_workers.controller.loop import run_loop
from fleet_workers.controller.ports import Ports, ToolPort
from fleet_workers.models.messages import ChatModel, Message
from fleet_workers.resilience.breakers import Breakers
from fleet_workers.store.journal import Step
from fleet_workers.store.memory_journal import MemoryJournal
from fleet_workers.testing.tiers import ByTier
from fleet_workers.testing.tools import FakeTools, MadeCall, RecordingTools
from fleet_workers.tools.runtime import ToolRuntime


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRun:
    """How a run ended and everything it did. `attempts` counts from 1."""

    task_id: UUID
    decision: Finish | Park
    outcome: Outcome
    steps: tuple[Step, ...]
    calls: tuple[MadeCall, ...]
    attempts: int

    @property
    def tools_used(self) -> tuple[str, ...]:
        """Names of the tools that were called, in order of first use."""
        return self.outcome.tools_used

    @property
    def answer(self) -> str | None:
        """The answer or the question to the customer; None where a person must decide."""
        return self.outcome.answer

    @property
    def review_kind(self) -> ReviewKind | None:
        """Why a person must look; None where nobody must."""
        return self.outcome.review_kind


def run_agent(
    agent: Path | str | AgentRelease,
    text: str,
    *,
    model: ChatModel | Mapping[str, ChatModel],
    tenant: str = "acme",
    customer: str | None = None,
    data: Mapping[str, Any] | None = None,
    tools: Mapping[str, Any] | None = None,
    session: Sequence[Message] | None = None,
    environment: Mapping[str, str] | None = None,
    journal: MemoryJournal | None = None,
    task_id: UUID | None = None,
    attempts: int = 5,
    model_timeout_seconds: float = 60.0,
) -> AgentRun:
    """Run one request through an agent (its folder, or a loaded release) to its end.

    With a `model` for each tier, such as `{"small": …, "large": …}`, the agent climbs as its file
    says; a tier that has none of its own is served by the one below.

    `tools` gives results by tool name: a value, an exception to raise, or a function of the call's
    arguments. Without it the agent's own tools run, with `environment` (this process's, where
    none is given). `session` holds earlier turns, oldest first. `journal` and `task_id` of an
    earlier run resume it, as another worker would after a crash. After a transient error the run
    goes on at once from its journal, up to `attempts` times.

    Raises:
        TransientError: The last attempt failed, too.
        PermanentError: The model's script is over.
        ConfigurationError: The folder is wrong, a tool has no result in `tools`, or there is no
            model for the small tier.
    """
    release = agent if isinstance(agent, AgentRelease) else load_release(Path(agent))
    _check_names(release, tools)
    envelope = build_envelope(
        id=task_id,
        tenant=tenant,
        agent=release.name,
        input=text,
        data=dict(data) if data else None,
        customer=customer,
        session_id="test" if session is not None else None,
    )
    by_tier = ByTier(model if isinstance(model, Mapping) else {"small": model})
    kept = journal if journal is not None else MemoryJournal()
    variables = os.environ if environment is None else environment
    with _tool_port(tools, variables) as port:
        recorder = RecordingTools(port)
        ports = Ports(
            model=by_tier,
            tools=recorder,
            recall=lambda _envelope: list(session or ()),
            model_timeout_seconds=model_timeout_seconds,
            environment=variables,
            first_models=by_tier.first_models,
        )
        for attempt in range(1, attempts + 1):
            try:
                decision = run_loop(
                    agent=release.name,
                    envelope=envelope,
                    catalogue=AgentCatalogue([release]),
                    journal=kept,
                    ports=ports,
                )
                break
            except TransientError:
                if attempt == attempts:
                    raise
        else:
            raise ValueError("attempts must be at least 1.")
    if not isinstance(decision, Finish | Park):
        raise TypeError(f"An agent cannot decide on {decision!r}.")
    return AgentRun(
        task_id=envelope.id,
        decision=decision,
        outcome=outcome_of(decision, kept.steps()),
        steps=tuple(kept.steps()),
        calls=tuple(recorder.made),
        attempts=attempt,
    )


@contextmanager
def _tool_port(
    results: Mapping[str, Any] | None, environment: Mapping[str, str]
) -> Iterator[ToolPort]:
    if results is not None:
        yield FakeTools(results)
        return
    runtime = ToolRuntime(breakers=Breakers(), environment=environment)
    try:
        yield runtime
    finally:
        runtime.close()


def _check_names(release: AgentRelease, results: Mapping[str, Any] | None) -> None:
    unknown = [name for name in results or {} if release.tools.get(name) is None]
    if unknown:
        raise ConfigurationError(
            f"The test gives results for {', '.join(unknown)}, which {release.name} does not have. "
            f"It has {', '.join(release.manifest.tools) or 'no tools'}."
        )
