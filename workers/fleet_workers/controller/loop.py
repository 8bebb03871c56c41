"""Carries decisions out, one after another, until the task ends, waits or moves elsewhere."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Protocol

from fleet_contracts.envelope import AUTO_AGENT, TaskEnvelope
from fleet_contracts.errors import FleetError, InDoubt, PermanentError, TransientError
from fleet_workers.agents import AgentCatalogue
from fleet_workers.controller.decide import decide
from fleet_workers.controller.decision import (
    AskModel,
    CallTool,
    CheckInbound,
    Decision,
    Finish,
    Park,
    Recall,
    Refuse,
    Reroute,
    Settle,
)
from fleet_workers.controller.plan import plan_result
from fleet_workers.controller.rulings import NOT_CALLED_STEP, USED_STEP, held_back
from fleet_workers.controller.situation import Situation
from fleet_workers.controller.triage import decide_triage
from fleet_workers.models.messages import ChatModel, ChatRequest, Message
from fleet_workers.rails.inbound import inbound_signals
from fleet_workers.review.decisions import approval_key
from fleet_workers.store.journal import Journal, StepKind, Usage
from fleet_workers.tools import Tool
from fleet_workers.tools.repeat import Repeat


class ToolPort(Protocol):
    """Calls tools; what `fleet_workers.tools.runtime.ToolRuntime` does."""

    def call(
        self,
        tool: Tool,
        arguments: dict[str, object],
        *,
        envelope: TaskEnvelope,
        agent: str,
        key: str,
        environment: tuple[str, ...],
        repeat: Repeat | None,
        fence: Callable[[], None],
    ) -> object:
        """Call once, retrying short blips where that is safe; gives a JSON-ready value.

        `repeat` marks a call that was begun before. `fence` is to be called right before anything
        goes out.

        Raises:
            TransientError: It may succeed later; the step stays open and is repeated with its key.
            PermanentError: It will not; the model is told.
            InDoubt: A write may have been done or not; a person is asked.
            LeaseLost: Another worker holds the task.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """What stands over a run from outside.

    `must_yield` tells that the task shall go back to its queue before the next step: the worker
    is being stopped, or the agent or tenant paused. `fence` raises LeaseLost where the task is no
    longer this worker's.
    """

    must_yield: Callable[[], bool]
    fence: Callable[[], None]


UNGUARDED = Guard(must_yield=lambda: False, fence=lambda: None)
"""For runs that nobody else can take over."""


class Draining(FleetError):
    """The worker is being stopped, or the task paused: it goes back to its queue now."""

    code = "draining"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Everything outside that the loop may touch."""

    model: ChatModel
    tools: ToolPort
    recall: Callable[[TaskEnvelope], list[Message]]
    model_timeout_seconds: float


def run_loop(
    *,
    agent: str,
    envelope: TaskEnvelope,
    catalogue: AgentCatalogue,
    journal: Journal,
    ports: Ports,
    guard: Guard = UNGUARDED,
) -> Finish | Park | Reroute:
    """Work on a task until nothing more can be done now.

    Raises:
        TransientError: A later attempt goes on from the journal.
        PermanentError: The model's endpoint refuses the request for good.
        LeaseLost: Another worker holds the task.
        Draining: The worker is being stopped, or the task paused.
        CorruptJournal: The journal holds a plan that cannot be understood.
    """
    while True:
        if agent == AUTO_AGENT:
            decision: Decision = decide_triage(catalogue, envelope, journal.steps())
        else:
            decision = decide(
                Situation(release=catalogue.get(agent), envelope=envelope, steps=journal.steps())
            )
        if isinstance(decision, Finish | Park | Reroute):
            _note_end(decision, journal)
            return decision
        if guard.must_yield():
            raise Draining("The worker is stopping, or the task is paused.")
        _carry_out(decision, agent, envelope, catalogue, journal, ports, guard)


def _carry_out(  # noqa: PLR0917 one line a decision
    decision: CheckInbound | Recall | AskModel | CallTool | Refuse | Settle,
    agent: str,
    envelope: TaskEnvelope,
    catalogue: AgentCatalogue,
    journal: Journal,
    ports: Ports,
    guard: Guard,
) -> None:
    match decision:
        case CheckInbound():
            journal.record(
                StepKind.INBOUND, "inbound", {"signals": inbound_signals(envelope.input)}
            )
        case Recall():
            journal.record(StepKind.MEMORY, "session", {"turns": ports.recall(envelope)})
        case AskModel():
            _ask_model(decision, agent, journal, ports, guard)
        case Refuse():
            journal.record(
                StepKind.GATE,
                decision.gate,
                {
                    "plan": decision.plan,
                    "call": decision.index,
                    "ruling": "refuse",
                    "reason": decision.reason,
                },
            )
        case Settle():
            journal.finish(decision.step, {"error": decision.error})
        case CallTool():
            environment = catalogue.get(agent).manifest.environment
            _call_tool(decision, agent, envelope, environment, journal, ports, guard)


def _ask_model(
    decision: AskModel, agent: str, journal: Journal, ports: Ports, guard: Guard
) -> None:
    seq = journal.begin(
        StepKind.PLAN,
        agent,
        {
            "tier": decision.tier,
            "messages": len(decision.messages),
            "head": journal.keep_text(decision.head),
            "conversation": sha256(json.dumps(decision.messages).encode()).hexdigest(),
        },
    )
    guard.fence()
    reply = ports.model.complete(
        ChatRequest(
            messages=decision.messages,
            tools=decision.tools,
            tier=decision.tier,
            timeout_seconds=ports.model_timeout_seconds,
        )
    )
    usage = Usage(
        model=reply.model,
        tokens=reply.prompt_tokens + reply.completion_tokens,
        cost_usd=reply.cost_usd,
    )
    journal.finish(seq, plan_result(reply), usage)


def _call_tool(  # noqa: PLR0917 as above
    decision: CallTool,
    agent: str,
    envelope: TaskEnvelope,
    environment: tuple[str, ...],
    journal: Journal,
    ports: Ports,
    guard: Guard,
) -> None:
    key = f"{envelope.id}:{decision.plan}:{decision.index}"
    seq, repeat = decision.resumes, None
    if seq is None:
        seq = journal.begin(
            StepKind.TOOL,
            decision.tool.name,
            {
                "plan": decision.plan,
                "call": decision.index,
                "arguments": dict(decision.arguments),
                "effect": decision.tool.effect,
                "key": key,
            },
        )
    else:
        if decision.allowed_by is not None:
            journal.record(StepKind.REVIEW, USED_STEP, {"review": decision.allowed_by})
        repeat = Repeat(
            begun_seconds_ago=journal.resume(seq), again=partial(journal.ask_again, seq)
        )
    try:
        value = ports.tools.call(
            decision.tool,
            dict(decision.arguments),
            envelope=envelope,
            agent=agent,
            key=key,
            environment=environment,
            repeat=repeat,
            fence=guard.fence,
        )
    except TransientError as error:
        if not error.counts_attempt and decision.tool.effect == "write":
            _note_held_back(decision, journal, str(error))
        raise
    except InDoubt as error:
        journal.finish(seq, {"in_doubt": str(error)})
    except PermanentError as error:
        journal.finish(seq, {"error": str(error)})
    else:
        journal.finish(seq, {"value": value})


def _note_held_back(decision: CallTool, journal: Journal, why: str) -> None:
    """A call that did not go out is not in doubt, and needs no second word of a person."""
    key = approval_key(decision.tool.name, decision.plan, decision.index, decision.arguments)
    journal.record(StepKind.REVIEW, NOT_CALLED_STEP, held_back(len(journal.steps()), key, why))


def _note_end(decision: Finish | Park | Reroute, journal: Journal) -> None:
    match decision:
        case Finish() | Park():
            if decision.evidence:
                journal.record(StepKind.CONFIDENCE, "confidence", decision.evidence)
            if isinstance(decision, Park):
                journal.record(
                    StepKind.REVIEW, decision.kind, {"reason": decision.reason, "state": "waiting"}
                )
        case Reroute():
            journal.record(StepKind.TRIAGE, "triage", {"agent": decision.agent})
