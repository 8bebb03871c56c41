"""Carries decisions out, one after another, until the task ends, waits or moves elsewhere."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any

from fleet_contracts.envelope import AUTO_AGENT, TaskEnvelope
from fleet_contracts.errors import BudgetError, FleetError, TimedOut
from fleet_contracts.outcome import ReviewKind
from fleet_workers.agents import AgentCatalogue
from fleet_workers.agents.bounds import SpendLimits
from fleet_workers.controller.admission import ProposedQuestion
from fleet_workers.controller.calls import call_tool, note_refusal, propose
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
from fleet_workers.controller.ports import UNGUARDED, Draining, Guard, Ports
from fleet_workers.controller.situation import Situation
from fleet_workers.controller.triage import decide_triage
from fleet_workers.models.messages import ChatReply, ChatRequest
from fleet_workers.rails.inbound import inbound_verdict
from fleet_workers.store.journal import Journal, StepKind, Usage


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
        decision = _next_decision(agent, envelope, catalogue, journal, ports)
        if not isinstance(decision, Finish | Park | Reroute):
            if guard.must_yield():
                raise Draining("The worker is stopping, or the task is paused.")
            stopped = _carry_out(decision, agent, envelope, catalogue, journal, ports, guard)
            if stopped is None:
                continue
            decision = stopped
        _note_end(decision, journal)
        return decision


def _next_decision(
    agent: str, envelope: TaskEnvelope, catalogue: AgentCatalogue, journal: Journal, ports: Ports
) -> Decision:
    if agent == AUTO_AGENT:
        return decide_triage(catalogue, envelope, journal.steps())
    return decide(
        Situation(
            release=catalogue.get(agent),
            envelope=envelope,
            steps=journal.steps(),
            now=datetime.now(UTC),
            environment=ports.environment,
        )
    )


def _carry_out(  # noqa: PLR0917 one line a decision
    decision: CheckInbound | Recall | AskModel | CallTool | Refuse | Settle,
    agent: str,
    envelope: TaskEnvelope,
    catalogue: AgentCatalogue,
    journal: Journal,
    ports: Ports,
    guard: Guard,
) -> Park | None:
    match decision:
        case CheckInbound():
            journal.record(StepKind.INBOUND, "inbound", inbound_verdict(envelope.input))
        case Recall():
            journal.record(StepKind.MEMORY, "session", {"turns": ports.recall(envelope)})
        case AskModel():
            limits = SpendLimits() if agent == AUTO_AGENT else catalogue.get(agent).manifest.spend
            return _ask_model(decision, agent, envelope, limits, journal, ports, guard)
        case Refuse():
            note_refusal(decision, journal)
        case Settle():
            begun = journal.steps()[decision.step]
            journal.finish(decision.step, {"error": decision.error})
            ports.admission.give_back(begun.request["key"])
        case CallTool():
            proposed = propose(decision, catalogue.get(agent), envelope)
            return call_tool(decision, proposed, journal, ports, guard)
    return None


def _ask_model(  # noqa: PLR0917 as above
    decision: AskModel,
    agent: str,
    envelope: TaskEnvelope,
    limits: SpendLimits,
    journal: Journal,
    ports: Ports,
    guard: Guard,
) -> Park | None:
    question = ProposedQuestion(
        request=ChatRequest(
            messages=decision.messages,
            tools=decision.tools,
            tier=decision.tier,
            timeout_seconds=ports.model_timeout_seconds,
        ),
        envelope=envelope,
        agent=agent,
        limits=limits,
        key=f"{envelope.id}:plan:{len(journal.steps())}",
    )
    try:
        ports.admission.admit_question(question)
    except BudgetError as error:
        return Park(kind=ReviewKind.OVER_BUDGET, reason=str(error))
    seq = journal.begin(
        StepKind.PLAN,
        agent,
        {
            "tier": decision.tier,
            "messages": len(decision.messages),
            "head": journal.keep_text(decision.head),
            "conversation": sha256(json.dumps(decision.messages).encode()).hexdigest(),
            **({"placeholders": decision.placeholders} if decision.placeholders else {}),
        },
    )
    guard.fence()
    reply = _complete(question, ports)
    usage = Usage(
        model=reply.model,
        tokens=reply.prompt_tokens + reply.completion_tokens,
        cost_usd=reply.cost_usd,
    )
    journal.finish(seq, plan_result(reply), usage)
    ports.admission.settle_question(question, reply.cost_usd)
    return None


def _complete(question: ProposedQuestion, ports: Ports) -> ChatReply:
    """Ask; what gave no answer cost nothing, unless an answer may have come too late."""
    try:
        return ports.model.complete(question.request)
    except TimedOut:
        raise
    except FleetError:
        ports.admission.settle_question(question, Decimal(0))
        raise


def _note_evidence(evidence: Mapping[str, Any], journal: Journal) -> None:
    """Journal what the answer's checks said, and what its confidence was made of."""
    rest = dict(evidence)
    if checks := rest.pop("outbound", None):
        journal.record(StepKind.OUTBOUND, "outbound", {"verdicts": checks})
    if rest:
        journal.record(StepKind.CONFIDENCE, "confidence", rest)


def _note_end(decision: Finish | Park | Reroute, journal: Journal) -> None:
    match decision:
        case Finish() | Park():
            _note_evidence(decision.evidence, journal)
            if isinstance(decision, Park):
                journal.record(
                    StepKind.REVIEW,
                    decision.kind,
                    {
                        "reason": decision.reason,
                        "state": "waiting",
                        **({"gates": list(decision.gates)} if decision.gates else {}),
                    },
                )
        case Reroute():
            journal.record(StepKind.TRIAGE, "triage", {"agent": decision.agent})
