"""The gates before an action. Each lets a call pass, refuses it, or asks a person.

They are pure: what only the moment knows (grants, rates, breakers, money) the runtime checks
right before the call, and again on every other worker.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from functools import cached_property
from typing import Any, Literal

from fleet_contracts.outcome import ReviewKind
from fleet_workers.agents.manifest import ApprovalRule
from fleet_workers.agents.policy import policy_version
from fleet_workers.controller.lock import lock_reasons, ungrounded_arguments
from fleet_workers.controller.rulings import Ruled, may_pass_limits, ruling_on
from fleet_workers.controller.situation import Situation
from fleet_workers.controller.trust import Trust, trust_before
from fleet_workers.review.binding import Ruling, approval_key
from fleet_workers.store.journal import StepKind, StepState
from fleet_workers.tools import Tool


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a gate says. A refusal goes back to the model, a review to a person."""

    gate: str
    ruling: Literal["pass", "refuse", "review"]
    reason: str = ""
    review: ReviewKind | None = None

    def as_record(self) -> dict[str, str]:
        """The journal's form."""
        record = {"gate": self.gate, "ruling": self.ruling}
        return {**record, "reason": self.reason} if self.reason else record


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """What all gates together say, with each one's verdict.

    `approved_in` is the review in which a person allowed what the gates alone would not.
    """

    verdict: Verdict
    verdicts: tuple[Verdict, ...]
    approved_in: str | None = None

    def as_record(self) -> list[dict[str, str]]:
        """The journal's form."""
        return [each.as_record() for each in self.verdicts]


@dataclass(frozen=True, kw_only=True)
class Action:
    """A call with parsed arguments that stands before the gates.

    `planned` are the arguments of the plan; a person may have put others in their place.
    """

    situation: Situation
    tool: Tool
    arguments: Mapping[str, Any]
    planned: Mapping[str, Any]
    plan: int
    call: int

    @cached_property
    def by_the_model(self) -> Mapping[str, Any]:
        """The arguments without those for which a person vouches, who has written them."""
        return {
            name: value
            for name, value in self.arguments.items()
            if name in self.planned and self.planned[name] == value
        }

    @cached_property
    def call_key(self) -> dict[str, Any]:
        """What a decision about this call is bound to; an approval also to the policy."""
        return approval_key(self.tool.name, self.plan, self.call, self.arguments)

    @cached_property
    def may_pass_limits(self) -> bool:
        """Whether a person has allowed this call although it passes a limit on money."""
        return may_pass_limits(self.situation.steps, self.call_key)

    @cached_property
    def is_one_more_allowed(self) -> bool:
        """Whether a person has allowed this call although a limit was reached."""
        ruled = ruling_on(self.situation.steps, ReviewKind.OVER_BUDGET, self.call_key)
        return ruled is not None and ruled.ruling is Ruling.APPROVE

    @cached_property
    def trust(self) -> Trust:
        """What was trusted when the action was planned."""
        return trust_before(self.situation, self.plan)


def _budget(action: Action) -> Verdict:
    made = sum(1 for step in action.situation.steps if step.kind is StepKind.TOOL)
    limit = action.situation.release.manifest.limits.tool_calls
    if made < limit or action.is_one_more_allowed:
        return Verdict(gate="budget", ruling="pass")
    return Verdict(
        gate="budget",
        ruling="review",
        reason=f"The agent may make {limit} tool calls a task and wants one more.",
        review=ReviewKind.OVER_BUDGET,
    )


def _refusal(action: Action) -> Verdict:
    """What a person has refused when the limits, or a tool that was away, were before them."""
    for kind in (ReviewKind.OVER_BUDGET, ReviewKind.TOOL_AWAY):
        ruled = ruling_on(action.situation.steps, kind, action.call_key)
        if ruled is not None and ruled.ruling is Ruling.REJECT:
            return _refused_by_person("person", ruled)
    return Verdict(gate="person", ruling="pass")


def _refused_by_person(gate: str, ruled: Ruled) -> Verdict:
    return Verdict(gate=gate, ruling="refuse", reason=f"A person refused this: {ruled.text}")


def _scope(action: Action) -> Verdict:
    missing = sorted(set(action.tool.scopes) - set(action.situation.release.manifest.scopes))
    if not missing:
        return Verdict(gate="grant", ruling="pass")
    return Verdict(
        gate="grant",
        ruling="refuse",
        reason=f"{action.tool.name} needs {', '.join(missing)}, which this agent is not granted.",
    )


def _customer(action: Action) -> Verdict:
    name = action.tool.customer_argument
    if name is not None and action.arguments.get(name) is not None:
        named, own = str(action.arguments[name]), action.situation.envelope.customer
        if named != own:
            return Verdict(
                gate="customer",
                ruling="refuse",
                reason=f"{action.tool.name} is about {named!r}, the task about {own!r}: nobody "
                "else's data may be looked up or changed.",
            )
    return Verdict(gate="customer", ruling="pass")


def _repeat(action: Action) -> Verdict:
    if action.tool.effect == "write":
        for step in action.situation.steps:
            if (
                step.kind is StepKind.TOOL
                and step.state is StepState.DONE
                and step.name == action.tool.name
                and _are_equal(action.tool, step.request["arguments"], action.arguments)
                and "error" not in (step.result or {})
            ):
                return Verdict(
                    gate="repeat",
                    ruling="refuse",
                    reason=f"{action.tool.name} was done with these arguments already; "
                    "its result stands above.",
                )
    return Verdict(gate="repeat", ruling="pass")


def _are_equal(tool: Tool, earlier: Mapping[str, Any], arguments: Mapping[str, Any]) -> bool:
    """Compare as the tool reads them: a model writes the same amount as 40, "40" and 40.0."""
    try:
        return tool.parse_arguments(earlier) == tool.parse_arguments(arguments)
    except ValueError:  # an earlier release of the tool took other arguments
        return dict(earlier) == dict(arguments)


def _grounding(action: Action) -> Verdict:
    if action.tool.effect == "read":
        return Verdict(gate="grounding", ruling="pass")
    loose = ungrounded_arguments(action.trust, action.tool, action.by_the_model)
    if not loose:
        return Verdict(gate="grounding", ruling="pass")
    reason = f"{', '.join(loose)} stands neither in the request nor in anything looked up"
    corrections = action.situation.release.manifest.limits.corrections
    if action.situation.count(StepKind.GATE, "grounding") < corrections:
        return Verdict(gate="grounding", ruling="refuse", reason=f"{reason}: look it up first.")
    return Verdict(
        gate="grounding", ruling="review", reason=f"{reason}.", review=ReviewKind.APPROVAL
    )


def _plan_lock(action: Action) -> Verdict:
    if action.tool.effect == "read" and not action.tool.open_world:
        return Verdict(gate="plan_lock", ruling="pass")  # no need to gather what was read
    reasons = lock_reasons(action.trust, action.tool, action.arguments, action.situation)
    if not reasons:
        why = "no untrusted text was read before" if not action.trust.is_tainted else ""
        return Verdict(gate="plan_lock", ruling="pass", reason=why)
    return Verdict(
        gate="plan_lock", ruling="review", reason=" ".join(reasons), review=ReviewKind.APPROVAL
    )


def _approval(action: Action) -> Verdict:
    rule = action.situation.release.manifest.approvals.get(action.tool.name)
    if rule is None and action.tool.stakes == "low":
        return Verdict(gate="approval", ruling="pass")
    if rule is not None and rule.argument is not None:
        amount = _decimal(action.arguments.get(rule.argument))
        if amount is not None and amount <= rule.above:
            return Verdict(gate="approval", ruling="pass")
        reason = (
            f"{action.tool.name} with {rule.argument} {action.arguments.get(rule.argument)} "
            f"needs approval over {rule.above}."
        )
    else:
        reason = f"{action.tool.name} needs approval every time."
    return Verdict(gate="approval", ruling="review", reason=reason, review=ReviewKind.APPROVAL)


def _decimal(value: object) -> Decimal | None:
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() else None


GATES: tuple[Callable[[Action], Verdict], ...] = (
    _refusal,
    _budget,
    _scope,
    _customer,
    _repeat,
    _grounding,
    _plan_lock,
    _approval,
)


def pass_gates(action: Action) -> Passage:
    """What the gates say together: the first refusal, else what a person must decide, else pass.

    What only needs an approval is asked for once, with all reasons; a person's yes to exactly
    this action opens those gates and no other.
    """
    verdicts: list[Verdict] = []
    for gate in GATES:
        verdict = gate(action)
        verdicts.append(verdict)
        if verdict.ruling == "refuse" or verdict.review is ReviewKind.OVER_BUDGET:
            return Passage(verdict=verdict, verdicts=tuple(verdicts))
    asked = [each for each in verdicts if each.ruling == "review"]
    if not asked:
        return Passage(verdict=verdicts[-1], verdicts=tuple(verdicts))
    # The last word about the call counts: a refusal under another policy is one all the same.
    ruled = ruling_on(action.situation.steps, ReviewKind.APPROVAL, action.call_key)
    return _with_ruling(action, tuple(verdicts), asked, ruled)


def _with_ruling(
    action: Action, verdicts: tuple[Verdict, ...], asked: list[Verdict], ruled: Ruled | None
) -> Passage:
    reason = " ".join(each.reason for each in asked)
    if ruled is not None and ruled.ruling is Ruling.REJECT:
        verdict = _refused_by_person("approval", ruled)
        return Passage(verdict=verdict, verdicts=(*verdicts, verdict))
    if ruled is not None and not _is_void(action, ruled):
        verdict = Verdict(
            gate="approval", ruling="pass", reason=f"Approved by {ruled.by or 'a person'}."
        )
        return Passage(verdict=verdict, verdicts=(*verdicts, verdict), approved_in=ruled.review)
    if ruled is not None:
        reason = (
            f"An approval was given and is void: it is too old, or the policy is another. {reason}"
        )
    verdict = Verdict(
        gate=asked[0].gate, ruling="review", reason=reason, review=ReviewKind.APPROVAL
    )
    return Passage(verdict=verdict, verdicts=verdicts)


def _is_void(action: Action, ruled: Ruled) -> bool:
    """Whether an approval was given too long ago, or under another policy."""
    if ruled.policy != policy_version(action.situation.release):
        return True
    rule = action.situation.release.manifest.approvals.get(action.tool.name)
    hours = (rule or ApprovalRule()).valid_hours
    return ruled.at is not None and action.situation.now > ruled.at + timedelta(hours=hours)
