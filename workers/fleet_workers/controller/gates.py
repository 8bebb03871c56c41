"""The gates before an action. Each lets a call pass, refuses it, or asks a person."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from fleet_contracts.outcome import ReviewKind
from fleet_workers.controller.rulings import ruling_on
from fleet_workers.controller.situation import Situation
from fleet_workers.review.decisions import Ruling, approval_key
from fleet_workers.store.journal import StepKind, StepState
from fleet_workers.tools import Tool


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a gate says. A refusal goes back to the model, a review to a person."""

    gate: str
    ruling: Literal["pass", "refuse", "review"]
    reason: str = ""
    review: ReviewKind | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """A call with parsed arguments that stands before the gates."""

    situation: Situation
    tool: Tool
    arguments: Mapping[str, Any]
    plan: int
    call: int

    @property
    def key(self) -> dict[str, Any]:
        """What an approval of this action is bound to."""
        return approval_key(self.tool.name, self.plan, self.call, self.arguments)


def _budget(action: Action) -> Verdict:
    made = sum(1 for step in action.situation.steps if step.kind is StepKind.TOOL)
    limit = action.situation.release.manifest.limits.tool_calls
    if made < limit:
        return Verdict(gate="budget", ruling="pass")
    return Verdict(
        gate="budget",
        ruling="review",
        reason=f"The agent may make {limit} tool calls a task and wants one more.",
        review=ReviewKind.OVER_BUDGET,
    )


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


def _approval(action: Action) -> Verdict:
    decided = ruling_on(action.situation.steps, ReviewKind.APPROVAL, action.key)
    if decided is not None:
        if decided.ruling is Ruling.APPROVE:
            return Verdict(gate="approval", ruling="pass")
        return Verdict(
            gate="approval", ruling="refuse", reason=f"A person refused this: {decided.text}"
        )
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


GATES: tuple[Callable[[Action], Verdict], ...] = (_budget, _repeat, _approval)


def pass_gates(action: Action) -> Verdict:
    """The first verdict that is not a pass, or the last pass."""
    verdict = Verdict(gate="none", ruling="pass")
    for gate in GATES:
        verdict = gate(action)
        if verdict.ruling != "pass":
            return verdict
    return verdict
