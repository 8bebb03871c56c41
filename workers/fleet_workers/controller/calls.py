"""Makes one tool call: admitted, journaled before and after, with what came of it."""

from collections.abc import Mapping
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
from fleet_workers.controller.rulings import (
    NOT_CALLED_STEP,
    SPEND_GATE,
    USED_STEP,
    held_back,
    ruling_on,
)
from fleet_workers.controller.trust import untrusted_texts
from fleet_workers.rails.inbound import inbound_signals
from fleet_workers.review.binding import Ruling, approval_key
from fleet_workers.store.journal import Journal, StepKind
from fleet_workers.telemetry.counting import timed_tool_call
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
    if decision.resumes is None and (decision.tool.money or decision.tool.cost_usd):
        # A worker that dies after it reserved leaves the plan to the next, whose key is the same.
        journal.flush()
    try:
        ports.admission.admit(proposed)
    except (PolicyError, BudgetError) as error:
        stopped = _not_allowed(decision, journal, error)
    except (BreakerOpen, ToolDisabled) as error:
        stopped = _go_without(decision, proposed.release, journal, error)
    else:
        _call(decision, proposed, journal, ports, guard)
        return None
    if decision.resumes is None:  # a worker that died before the call may have reserved for it
        guard.fence()
        ports.admission.give_back(proposed.key)
    return stopped


def _not_allowed(
    decision: CallTool, journal: Journal, error: PolicyError | BudgetError
) -> Park | None:
    if decision.resumes is not None:
        # Begun when it was still allowed. Of a write nobody knows its end.
        fate = "error" if decision.tool.effect == "read" else "in_doubt"
        journal.finish(decision.resumes, {fate: str(error)})
        return None
    if isinstance(error, BudgetError):
        gate = {"gate": SPEND_GATE, "ruling": "review", "reason": str(error)}
        return _ask_person(decision, ReviewKind.OVER_BUDGET, str(error), gate)
    _refuse(decision, journal, "grant", str(error))
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
        with timed_tool_call(proposed.release.name, decision.tool.name):
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
        if not error.was_sent and decision.tool.effect == "write":
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
        **({"edited": True} if decision.edited else {}),
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
    """Do what the agent's file says for a tool that is away.

    A write once begun waits for it, and so does a call that a person wants to be made.
    """
    chosen = release.manifest.when_away.get(decision.tool.name, "wait")
    reason = f"{error} Go on without it, and tell the customer what could not be done."
    if decision.resumes is not None:
        if chosen != "without" or decision.tool.effect == "write":
            raise error
        journal.finish(decision.resumes, {"error": reason})
        return None
    if chosen == "wait" or _is_wanted(decision, journal):
        raise error
    if chosen == "review":
        return _ask_person(decision, ReviewKind.TOOL_AWAY, str(error))
    _refuse(decision, journal, "breaker", reason)
    return None


def _is_wanted(decision: CallTool, journal: Journal) -> bool:
    """Whether a person was told that the tool is away, and wants the call all the same."""
    ruled = ruling_on(journal.steps(), ReviewKind.TOOL_AWAY, _key_of(decision))
    return ruled is not None and ruled.ruling is Ruling.APPROVE


def _key_of(decision: CallTool) -> dict[str, Any]:
    return approval_key(decision.tool.name, decision.plan, decision.index, decision.arguments)


def _refuse(decision: CallTool, journal: Journal, gate: str, reason: str) -> None:
    refusal = Refuse(plan=decision.plan, index=decision.index, gate=gate, reason=reason)
    note_refusal(refusal, journal)


def _ask_person(
    decision: CallTool, kind: ReviewKind, reason: str, *gates: Mapping[str, str]
) -> Park:
    proposal = {
        "tool": decision.tool.name,
        "arguments": dict(decision.arguments),
        "plan": decision.plan,
        "call": decision.index,
    }
    return Park(kind=kind, reason=reason, proposal=proposal, gates=(*decision.gates, *gates))


def _note_held_back(decision: CallTool, journal: Journal, why: str) -> None:
    """A call that did not go out is not in doubt, and needs no second word of a person."""
    held = held_back(len(journal.steps()), _key_of(decision), why)
    journal.record(StepKind.REVIEW, NOT_CALLED_STEP, held)
