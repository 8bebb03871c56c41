"""The controller: a pure function of release, envelope and journal to the next decision."""

from dataclasses import replace
from typing import Any

from fleet_contracts.outcome import ReviewKind
from fleet_workers.agents.policy import policy_version
from fleet_workers.controller.asked import asked_by_agent
from fleet_workers.controller.climbing import (
    climb_from,
    difficulty_for,
    last_passed,
    standing_tier,
)
from fleet_workers.controller.conclude import conclude_call, conclude_text
from fleet_workers.controller.conversation import (
    build_tools,
    head_text,
    hold_conversation,
    restored,
)
from fleet_workers.controller.decision import (
    AskModel,
    CallTool,
    CheckInbound,
    Decision,
    Finish,
    Park,
    Recall,
    Refuse,
    Settle,
)
from fleet_workers.controller.gates import Action, pass_gates
from fleet_workers.controller.plan import (
    ARGUMENTS_GATE,
    Climb,
    Plan,
    fate_of,
    parse_arguments,
    plans,
)
from fleet_workers.controller.rulings import (
    edited_arguments,
    may_pass_limits,
    put_aside,
    ruling_on,
)
from fleet_workers.controller.situation import Situation
from fleet_workers.models.control import CONTROL_NAMES
from fleet_workers.rails.normalise import refusal_for_size
from fleet_workers.review.binding import Ruling, approval_key
from fleet_workers.store.journal import Step, StepKind, StepState

_CUT_SHORT = {"length", "content_filter"}


def decide(situation: Situation) -> Decision:
    """Tell what to do next. The same journal always gives the same decision."""
    if not situation.count(StepKind.INBOUND):
        return CheckInbound()
    too_long = refusal_for_size(situation.envelope.input)
    if too_long:
        return Park(kind=ReviewKind.SUSPICIOUS, reason=too_long)
    if situation.envelope.session_id and not situation.count(StepKind.MEMORY):
        return Recall()
    finished = plans(situation.steps, situation.release.name)
    if not finished or put_aside(situation.steps, finished[-1].seq) is not None:
        return _ask(situation)
    decision = _follow(situation, finished[-1])
    climb = climb_from(situation, finished[-1], decision)
    return decision if climb is None else _ask_above(situation, climb, decision)


def _ask(situation: Situation) -> Decision:
    limit = situation.release.manifest.limits.model_calls
    # Calls that failed do not count: attempts bound those, and an outage must not end in review.
    if len(plans(situation.steps, situation.release.name)) >= limit:
        return Park(
            kind=ReviewKind.OVER_BUDGET,
            reason=f"No answer after {limit} model calls, which is the agent's limit.",
        )
    return _question(situation, standing_tier(situation))


def _ask_above(situation: Situation, climb: Climb, instead: Decision) -> Decision:
    """Ask a larger model in place of a plan, as if the smaller one had not made it."""
    asked = _question(situation, climb.to, passing=climb.plan)
    stands = instead if isinstance(instead, Finish | Park) else None
    return replace(asked, climb=climb, instead=stands)


def _question(situation: Situation, tier: str, *, passing: int | None = None) -> AskModel:
    conversation = hold_conversation(situation, passing=passing)
    return AskModel(
        messages=conversation.messages,
        tools=build_tools(situation.release),
        tier=tier,
        head=head_text(situation.release),
        placeholders=conversation.masker.digest,
        asked_for=asked_by_agent(situation, conversation),
        difficulty=difficulty_for(situation),
    )


def _follow(situation: Situation, plan: Plan) -> Decision:
    if plan.finish_reason in _CUT_SHORT:
        return _invalid(f"The model's reply was cut short ({plan.finish_reason}).", plan)
    if not plan.calls:
        if not (plan.text or "").strip():
            return _invalid("The model's reply was empty.", plan)
        return _conclude_text(situation, plan)
    for index in range(len(plan.calls)):
        fate = fate_of(situation.steps, plan, index)
        if fate is None:
            return _begin_call(situation, plan, index)
        if fate.state is StepState.STARTED or "in_doubt" in (fate.result or {}):
            return _resume_call(situation, plan, index, fate)
    return _ask(situation)


def _conclude_text(situation: Situation, plan: Plan) -> Decision:
    try:
        text = restored(situation, plan, plan.text or "")
        return conclude_text(situation, replace(plan, text=text))
    except ValueError as error:
        return _invalid(str(error), plan)


def _begin_call(situation: Situation, plan: Plan, index: int) -> Decision:
    call = plan.calls[index]
    try:
        arguments = restored(situation, plan, parse_arguments(call))
        if call.name in CONTROL_NAMES:
            if len(plan.calls) > 1:
                raise ValueError(f"{call.name} must be the only call of a reply.")  # noqa: TRY301 every fault of a call is answered in one place
            return conclude_call(situation, plan, call.name, arguments)
        return _begin_tool(situation, plan, index, arguments)
    except ValueError as error:
        return _correct(situation, plan, index, str(error))


def _begin_tool(
    situation: Situation, plan: Plan, index: int, arguments: dict[str, Any]
) -> Decision:
    name = plan.calls[index].name
    planned = arguments
    arguments = edited_arguments(situation.steps, name, plan.seq, index, planned)
    proposal = {"tool": name, "arguments": arguments, "plan": plan.seq, "call": index}
    tool = situation.release.tools.get(name)
    if tool is None:
        return Park(
            kind=ReviewKind.UNKNOWN_TOOL,
            reason=f"The model asked for {name}, which {situation.release.name} does not have.",
            proposal=proposal,
        )
    tool.parse_arguments(arguments)
    action = Action(
        situation=situation,
        tool=tool,
        arguments=arguments,
        planned=planned,
        plan=plan.seq,
        call=index,
    )
    passage = pass_gates(action)
    verdict, gates = passage.verdict, passage.as_record()
    if verdict.ruling == "pass":
        return CallTool(
            plan=plan.seq,
            index=index,
            tool=tool,
            arguments=arguments,
            edited=arguments is not planned,
            allowed_by=passage.approved_in,
            beyond_limits=action.may_pass_limits,
            gates=gates,
        )
    if verdict.review is None:
        return Refuse(
            plan=plan.seq, index=index, gate=verdict.gate, reason=verdict.reason, gates=gates
        )
    rule = situation.release.manifest.approvals.get(name)
    bound = {
        **proposal,
        "policy": policy_version(situation.release),
        "people": rule.people if rule else 1,
    }
    return Park(kind=verdict.review, reason=verdict.reason, proposal=bound, gates=gates)


def _resume_call(situation: Situation, plan: Plan, index: int, begun: Step) -> Decision:
    """A call that an earlier worker began: repeat it if that is safe, else ask a person."""
    tool = situation.release.tools.get(begun.name)
    arguments = begun.request["arguments"]
    doubt = (begun.result or {}).get("in_doubt")
    key = approval_key(begun.name, plan.seq, index, arguments)
    decided = ruling_on(situation.steps, ReviewKind.IN_DOUBT, key)
    if decided is not None and decided.ruling is Ruling.REJECT:
        return Settle(step=begun.seq, error=f"A person found that it was not done: {decided.text}")
    may_repeat = tool is not None and (tool.effect == "read" or tool.repeat != "none")
    if tool is not None and (decided is not None or (may_repeat and doubt is None)):
        return CallTool(
            plan=plan.seq,
            index=index,
            tool=tool,
            arguments=arguments,
            resumes=begun.seq,
            allowed_by=decided.review if decided else None,
            beyond_limits=may_pass_limits(situation.steps, key),
        )
    unknown = (
        f"{begun.name} was begun by a worker that stopped. Whether it took effect is not known"
    )
    return Park(
        kind=ReviewKind.IN_DOUBT,
        reason=f"{doubt} It may have been done all the same."
        if doubt
        else f"{unknown}, and it is not safe to repeat.",
        proposal={
            "tool": begun.name,
            "arguments": arguments,
            "plan": plan.seq,
            "call": index,
        },
    )


def _correct(situation: Situation, plan: Plan, index: int, fault: str) -> Decision:
    """Let the model mend its call, as often as the agent's file allows."""
    passed = last_passed(situation)  # a larger model has as many tries as the smaller one had
    tries = [
        step
        for step in situation.steps
        if step.kind is StepKind.GATE and step.name == ARGUMENTS_GATE and step.seq > passed
    ]
    if len(tries) >= situation.release.manifest.limits.corrections:
        return _invalid(fault, plan)
    return Refuse(plan=plan.seq, index=index, gate=ARGUMENTS_GATE, reason=fault)


def _invalid(reason: str, plan: Plan) -> Park:
    return Park(
        kind=ReviewKind.INVALID_PLAN,
        reason=reason,
        proposal={
            "plan": plan.seq,
            "text": plan.text,
            "calls": [{"name": call.name, "arguments": call.arguments} for call in plan.calls],
        },
    )
