"""What a call moves and costs, and what that counts against."""

import json
from dataclasses import replace
from decimal import Decimal, DecimalException

from fleet_contracts.envelope import TaskEnvelope
from fleet_contracts.errors import PolicyError
from fleet_workers.agents.bounds import SpendLimits
from fleet_workers.controller.admission import ProposedCall, ProposedQuestion
from fleet_workers.models.messages import ChatRequest
from fleet_workers.store import spend
from fleet_workers.store.spend import Bound, Expense


def call_expenses(call: ProposedCall) -> list[Expense]:
    """What a tool call moves and costs; nothing for most tools.

    Raises:
        PolicyError: Its amount is missing, negative, or no sum of money.
    """
    found = []
    if call.tool.money is not None and (moved_usd := _moved_usd(call, call.tool.money)):
        found.append(_moved(call, moved_usd))
    if call.tool.cost_usd:
        found.append(_cost(call))
    return found


def question_expense(question: ProposedQuestion, most_usd: Decimal, model: str) -> Expense:
    """The most that a model call can cost."""
    envelope = question.envelope
    return Expense(
        key=question.key,
        kind="cost",
        task_id=envelope.id,
        tenant=envelope.tenant,
        agent=question.agent,
        customer=envelope.customer,
        purpose=f"A call of {model}",
        amount_usd=spend.rounded(most_usd),
        bounds=_cost_bounds(question.limits, envelope),
    )


def are_costs_limited(question: ProposedQuestion) -> bool:
    """Whether the agent's file or the task bounds what model calls may cost."""
    limits = (each.limit_usd for each in _cost_bounds(question.limits, question.envelope))
    return any(limit is not None for limit in limits)


def most_input_tokens(request: ChatRequest) -> int:
    """More tokens than any tokenizer makes of a request: none makes two of one byte."""
    text = json.dumps([request.messages, request.tools], ensure_ascii=False, default=str)
    return len(text.encode("utf-8", "replace"))


def _moved_usd(call: ProposedCall, argument: str) -> Decimal:
    name = call.tool.name
    value = call.tool.parse_arguments(call.arguments)[argument]
    if value is None:
        raise PolicyError(f"{name} moves money: say how much in {argument}.")
    try:
        amount = Decimal(str(value))
    except DecimalException:
        amount = Decimal("nan")
    if not amount.is_finite() or not 0 <= amount < spend.MOST_USD:
        raise PolicyError(f"{name}: {argument} must be an amount of US dollars, 0 or more.")
    return spend.rounded(amount)


def _moved(call: ProposedCall, amount_usd: Decimal) -> Expense:
    limits, envelope = call.release.manifest.spend, call.envelope
    # Tasks that name no customer count as those of one, so that leaving it out gives no room.
    whose = "this customer" if envelope.customer else "tasks without a customer"
    bounds = [
        _by_day(
            spend.tenant_total(envelope.tenant),
            limits.moved_per_tenant_day,
            f"the day's limit of {envelope.tenant}",
        ),
        _by_day(
            spend.customer_total(envelope.tenant, envelope.customer or ""),
            limits.moved_per_customer_day,
            f"the day's limit of {whose}",
        ),
    ]
    if limits.moved_per_task is not None:
        bounds.append(_of_task(envelope, limits.moved_per_task, "the limit of one task"))
    return _expense(call, "moved", amount_usd, bounds, at_most_usd=limits.moved_per_action)


def _cost(call: ProposedCall) -> Expense:
    bounds = _cost_bounds(call.release.manifest.spend, call.envelope)
    return _expense(call, "cost", spend.rounded(call.tool.cost_usd), bounds)


def _expense(
    call: ProposedCall,
    kind: spend.SpendKind,
    amount_usd: Decimal,
    bounds: list[Bound],
    *,
    at_most_usd: Decimal | None = None,
) -> Expense:
    may_pass = call.beyond_limits
    return Expense(
        key=call.key,
        kind=kind,
        task_id=call.envelope.id,
        tenant=call.envelope.tenant,
        agent=call.release.name,
        customer=call.envelope.customer,
        purpose=call.tool.name,
        amount_usd=amount_usd,
        at_most_usd=None if may_pass else at_most_usd,
        bounds=[replace(each, limit_usd=None) for each in bounds] if may_pass else bounds,
    )


def _cost_bounds(limits: SpendLimits, envelope: TaskEnvelope) -> list[Bound]:
    """Costs are bounded by the agent's file, and by the budget that came with the task."""
    bounds = [
        _by_day(
            spend.tenant_total(envelope.tenant),
            limits.cost_per_tenant_day,
            f"the day's budget of {envelope.tenant}",
        )
    ]
    budgets = [each for each in (limits.cost_per_task, envelope.budget_usd) if each is not None]
    if budgets:
        bounds.append(_of_task(envelope, min(budgets), "the budget of this task"))
    return bounds


def _by_day(subject: str, limit_usd: Decimal | None, said: str) -> Bound:
    return Bound(subject=subject, by_day=True, limit_usd=limit_usd, said=said)


def _of_task(envelope: TaskEnvelope, limit_usd: Decimal, said: str) -> Bound:
    subject = spend.task_total(envelope.id)
    return Bound(subject=subject, by_day=False, limit_usd=limit_usd, said=said)
