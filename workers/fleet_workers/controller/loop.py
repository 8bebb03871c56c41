"""Carries decisions out, one after another, until the task ends, waits or moves elsewhere."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import structlog

from fleet_contracts.envelope import AUTO_AGENT, TaskEnvelope
from fleet_contracts.errors import BudgetError, FleetError, TimedOut
from fleet_workers.agents import AgentCatalogue
from fleet_workers.agents.bounds import SpendLimits
from fleet_workers.agents.manifest import Manifest
from fleet_workers.controller.admission import ProposedQuestion
from fleet_workers.controller.calls import call_tool, note_refusal, propose
from fleet_workers.controller.decide import decide
from fleet_workers.controller.decision import (
    AskModel,
    CallTool,
    CheckInbound,
    ChooseAgent,
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
from fleet_workers.controller.spent_budget import over_budget, reserve
from fleet_workers.controller.step_traces import traced_step
from fleet_workers.controller.triage import ROUTER_STEP, decide_triage
from fleet_workers.models.messages import AskAgain, ChatReply, ChatRequest, Filed, Interrupted
from fleet_workers.rails.inbound import inbound_verdict
from fleet_workers.store.journal import Journal, Step, StepKind, Usage
from fleet_workers.telemetry.counting import timed_model_call

log = structlog.get_logger(__name__)


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
            with traced_step(decision, journal):
                ended = _carry_out(decision, agent, envelope, catalogue, journal, ports, guard)
            if ended is None:
                continue
            decision = ended
        with traced_step(decision, journal):
            _note_end(decision, journal)
        return decision


def _next_decision(
    agent: str, envelope: TaskEnvelope, catalogue: AgentCatalogue, journal: Journal, ports: Ports
) -> Decision:
    if agent == AUTO_AGENT:
        return decide_triage(
            catalogue, envelope, journal.steps(), has_router=ports.route is not None
        )
    return decide(
        Situation(
            release=catalogue.get(agent),
            envelope=envelope,
            steps=journal.steps(),
            now=datetime.now(UTC),
            environment=ports.environment,
            first_models=ports.first_models,
        )
    )


def _carry_out(  # noqa: PLR0917 one line a decision
    decision: CheckInbound | Recall | ChooseAgent | AskModel | CallTool | Refuse | Settle,
    agent: str,
    envelope: TaskEnvelope,
    catalogue: AgentCatalogue,
    journal: Journal,
    ports: Ports,
    guard: Guard,
) -> Finish | Park | None:
    match decision:
        case CheckInbound():
            journal.record(StepKind.INBOUND, "inbound", inbound_verdict(envelope.input))
        case Recall():
            journal.record(StepKind.MEMORY, "session", {"turns": ports.recall(envelope)})
        case ChooseAgent() if ports.route is not None:
            journal.record(StepKind.TRIAGE, ROUTER_STEP, ports.route(decision.text).as_record())
        case AskModel():
            manifest = None if agent == AUTO_AGENT else catalogue.get(agent).manifest
            return _ask_model(decision, agent, envelope, manifest, journal, ports, guard)
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
    manifest: Manifest | None,
    journal: Journal,
    ports: Ports,
    guard: Guard,
) -> Finish | Park | None:
    key = f"{envelope.id}:plan:{_number(journal.steps())}"
    wanted = ProposedQuestion(
        request=ChatRequest(
            messages=decision.messages,
            tools=decision.tools,
            tier=decision.tier,
            timeout_seconds=ports.model_timeout_seconds,
            max_output_tokens=manifest.limits.answer_tokens if manifest else None,
            asked_for=decision.asked_for,
            key=key,
        ),
        envelope=envelope,
        agent=agent,
        limits=manifest.spend if manifest else SpendLimits(),
        key=key,
        highest_tier=manifest.tiers.highest if manifest else None,
        climbs=decision.climb is not None,
    )
    try:
        reserved = reserve(wanted, ports.admission, may_shrink=decision.instead is None)
    except BudgetError as error:
        return decision.instead or over_budget(error, wanted, journal)
    question = reserved.question
    seq = journal.begin(
        StepKind.PLAN,
        agent,
        {
            "tier": question.request.tier,
            **reserved.degraded,
            "messages": len(decision.messages),
            "head": journal.keep_text(decision.head),
            "conversation": sha256(json.dumps(decision.messages).encode()).hexdigest(),
            **({"placeholders": decision.placeholders} if decision.placeholders else {}),
            **_choice_of_tier(decision),
        },
    )
    guard.fence()
    try:
        reply = _complete(question, ports)
    except AskAgain:
        return None  # its share is settled; the next round reserves anew
    except FleetError as error:
        if error.retryable or decision.instead is None:
            raise
        # What a larger model refuses must not end a task that the smaller one brought this far.
        log.warning("climb.refused", tier=decision.tier, error=str(error))
        return decision.instead
    usage = Usage(
        model=reply.model,
        tokens=reply.prompt_tokens + reply.completion_tokens,
        cost_usd=reply.cost_usd,
    )
    journal.finish(seq, plan_result(reply), usage)
    ports.admission.settle_question(question, reply)
    return None


def _number(steps: Sequence[Step]) -> int:
    """The next question's; one that waits for its answer keeps its own, and what is reserved."""
    number = len(steps)
    while number > 1 and _is_filed(steps[number - 1]):
        number -= 2  # the step in which it was asked, and the failure that tells of its waiting
    return number


def _is_filed(step: Step) -> bool:
    return step.kind is StepKind.FAILURE and step.name == Filed.code


def _choice_of_tier(decision: AskModel) -> dict[str, Any]:
    """Why this tier is asked, where it is not the one that the agent's file names."""
    record: dict[str, Any] = {}
    if decision.difficulty is not None:
        record["difficulty"] = round(decision.difficulty, 3)
    if decision.climb is not None:
        record["climbed_from"] = decision.climb.as_record()
    return record


def _complete(question: ProposedQuestion, ports: Ports) -> ChatReply:
    """Ask; what gave no answer cost nothing, unless one was begun or may have come too late."""
    try:
        with timed_model_call(question.agent, question.request.tier):
            return ports.model.complete(question.request)
    except (TimedOut, Filed):
        raise
    except Interrupted as error:
        ports.admission.settle_question(question, error.spent)
        raise
    except FleetError:
        ports.admission.settle_question(question, None)
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
            journal.record(StepKind.TRIAGE, "triage", {"agent": decision.agent, "by": decision.by})
