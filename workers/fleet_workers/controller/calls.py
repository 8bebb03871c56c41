"""Makes one tool call: admitted, journaled before and after, with what came of it."""

from functools import partial
from typing import Any

from fleet_contracts.envelope import TaskEnvelope
from fleet_contracts.errors import (
    BreakerOpen,
    BudgetError,
    InDoubt,
    PermanentError,
    PolicyError,
    ToolDisabled,
    TransientError,
)
from fleet_contracts.outcome import ReviewKind
from fleet_workers.agents import AgentRelease
from fleet_workers.controller.admission import ProposedCall
from fleet_workers.controller.decision import CallTool, Park, Refuse
from fleet_workers.controller.ports import Guard, Ports
from fleet_workers.controller.rulings import NOT_CALLED_STEP, USED_STEP, held_back
from fleet_workers.controller.trust import untrusted_texts
from fleet_workers.rails.inbound import inbound_signals
from fleet_workers.review.decisions import approval_key
from fleet_workers.store.journal import Journal, StepKind
from fleet_workers.tools import Tool
from fleet_workers.tools.repeat import Repeat


def propose(decision: CallTool, release: AgentRelease, envelope: TaskEnvelope) -> ProposedCall:
    """The call of a decision, under a key that stays the same on every worker."""
    return ProposedCall(
        tool=decision.tool,
        arguments=decision.arguments,
        envelope=envelope,
        release=release,
        key=f"{envelope.id}:{decision.plan}:{decision.index}",
        beyond_limits=decision.beyond_limits,
    )


def call_tool(
    decision: CallTool, proposed: ProposedCall, journal: Journal, ports: Ports, guard: Guard
) -> Park | None:
    """Make the call of a decision; gives an item for a person where it may not be made.

    Raises:
        TransientError: It may be made later.
        LeaseLost: Another worker holds the task.
    """
    try:
        ports.admission.admit(proposed)
    except (PolicyError, BudgetError) as error:
        if decision.resumes is not None:  # begun when it was still allowed: nobody knows its end
            journal.finish(decision.resumes, {"in_doubt": str(error)})
        elif isinstance(error, BudgetError):
            return _ask_person(decision, ReviewKind.OVER_BUDGET, str(error))
        else:
            _refuse(decision, journal, "grant", str(error))
    except (BreakerOpen, ToolDisabled) as error:
        return _go_without(decision, proposed.release, journal, error)
    else:
        _call(decision, proposed, journal, ports, guard)
    return None


def note_refusal(decision: Refuse, journal: Journal) -> None:
    """Journal that a gate let a call not be made; the model reads the reason."""
    journal.record(
        StepKind.GATE,
        decision.gate,
        {
            "plan": decision.plan,
            "call": decision.index,
            "ruling": "refuse",
            "reason": decision.reason,
            **({"gates": list(decision.gates)} if decision.gates else {}),
        },
    )


def _call(
    decision: CallTool, proposed: ProposedCall, journal: Journal, ports: Ports, guard: Guard
) -> None:
    seq, repeat = _begin(decision, proposed, journal)
    try:
        value = ports.tools.call(
            decision.tool,
            dict(decision.arguments),
            envelope=proposed.envelope,
            agent=proposed.release.name,
            key=proposed.key,
            environment=proposed.release.manifest.environment,
            repeat=repeat,
            fence=guard.fence,
        )
    except TransientError as error:
        if not error.counts_attempt and decision.tool.effect == "write":
            _note_held_back(decision, journal, str(error))
        raise
    except InDoubt as error:
        journal.finish(seq, {"in_doubt": str(error)})
    except (PermanentError, PolicyError) as error:
        journal.finish(seq, _with_signals(decision.tool, {"error": str(error)}))
        ports.admission.settle(proposed, happened=False)
    else:
        journal.finish(seq, _with_signals(decision.tool, {"value": value}))
        ports.admission.settle(proposed, happened=True)


def _begin(
    decision: CallTool, proposed: ProposedCall, journal: Journal
) -> tuple[int, Repeat | None]:
    if decision.allowed_by is not None:
        journal.record(StepKind.REVIEW, USED_STEP, {"review": decision.allowed_by})
    if decision.resumes is not None:
        again = partial(journal.ask_again, decision.resumes)
        begun_seconds_ago = journal.resume(decision.resumes)
        return decision.resumes, Repeat(begun_seconds_ago=begun_seconds_ago, again=again)
    request = {
        "plan": decision.plan,
        "call": decision.index,
        "arguments": dict(decision.arguments),
        "effect": decision.tool.effect,
        "key": proposed.key,
        "gates": list(decision.gates),
    }
    return journal.begin(StepKind.TOOL, decision.tool.name, request), None


def _with_signals(tool: Tool, result: dict[str, Any]) -> dict[str, Any]:
    """A result with what in its untrusted texts reads like an instruction."""
    found = [each for text in untrusted_texts(tool, result) for each in inbound_signals(text)]
    return {**result, "signals": list(dict.fromkeys(found))} if found else result


def _go_without(
    decision: CallTool,
    release: AgentRelease,
    journal: Journal,
    error: BreakerOpen | ToolDisabled,
) -> Park | None:
    """Do what the agent's file says for a tool that is away; a call once begun waits for it."""
    chosen = release.manifest.when_away.get(decision.tool.name, "wait")
    if chosen == "wait" or decision.resumes is not None:
        raise error
    if chosen == "review":
        return _ask_person(decision, ReviewKind.TOOL_AWAY, str(error))
    reason = f"{error} Go on without it, and tell the customer what could not be done."
    _refuse(decision, journal, "breaker", reason)
    return None


def _refuse(decision: CallTool, journal: Journal, gate: str, reason: str) -> None:
    refusal = Refuse(plan=decision.plan, index=decision.index, gate=gate, reason=reason)
    note_refusal(refusal, journal)


def _ask_person(decision: CallTool, kind: ReviewKind, reason: str) -> Park:
    proposal = {
        "tool": decision.tool.name,
        "arguments": dict(decision.arguments),
        "plan": decision.plan,
        "call": decision.index,
    }
    return Park(kind=kind, reason=reason, proposal=proposal, gates=decision.gates)


def _note_held_back(decision: CallTool, journal: Journal, why: str) -> None:
    """A call that did not go out is not in doubt, and needs no second word of a person."""
    key = approval_key(decision.tool.name, decision.plan, decision.index, decision.arguments)
    journal.record(StepKind.REVIEW, NOT_CALLED_STEP, held_back(len(journal.steps()), key, why))
