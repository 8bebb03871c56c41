"""What a call moves and costs, and what that counts against."""

import json
from dataclasses import replace
from decimal import Decimal, DecimalException
from typing import Any

from fleet_contracts.envelope import TaskEnvelope
from fleet_contracts.errors import PolicyError
from fleet_workers.agents.bounds import SpendLimits
from fleet_workers.controller.admission import ProposedCall, ProposedQuestion
from fleet_workers.models.asked_for import OWN_CALL
from fleet_workers.models.candidates import AT
from fleet_workers.models.messages import ChatReply, ChatRequest, Spent
from fleet_workers.models.prices import PriceList
from fleet_workers.store import spend
from fleet_workers.store.model_use import Use
from fleet_workers.store.spend import Bound, Expense

_SCHEMA_WORDS = " " * 200  # room for what stands around a schema that is sent in words


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
        bounds=_cost_bounds(question.limits, envelope, question.agent),
    )


def use_of(
    question: ProposedQuestion,
    took: ChatReply | Spent,
    *,
    prices: PriceList,
    dearest: str | None,
) -> Use:
    """What is noted about a reply, or about one that broke off.

    `dearest` is the model that the agent would have asked without tiers. Where that is another
    one, the difference is what tiers saved, and a call that was climbed to costs extra: the one
    below it, which was asked in vain, has counted as saved all that this one costs.
    """
    alike: dict[str, Any] = {
        "tenant": question.envelope.tenant,
        "agent": question.agent,
        "tier": question.request.tier,
        "prompt_tokens": took.prompt_tokens,
        "completion_tokens": took.completion_tokens,
        "cost_usd": None if took.cost_usd is None else spend.rounded(took.cost_usd),
    }
    if isinstance(took, Spent):
        return Use(model=took.model or "unknown", source=took.source, **alike)
    return Use(
        model=took.candidate or took.model,
        source=took.source,
        cached_tokens=took.cached_tokens,
        saved_usd=took.saved_usd or Decimal(0),
        saved_by_tier_usd=_saved_by_tier(question, took, prices, dearest),
        **alike,
    )


def _saved_by_tier(
    question: ProposedQuestion, reply: ChatReply, prices: PriceList, dearest: str | None
) -> Decimal:
    if dearest is None or reply.source != OWN_CALL or reply.cost_usd is None:
        return Decimal(0)
    if question.climbs:
        return -reply.cost_usd
    asked = (reply.candidate or reply.model).partition(AT)[0]
    if asked == dearest.partition(AT)[0]:
        return Decimal(0)
    would_cost = prices.cost_usd(
        dearest, input_tokens=reply.prompt_tokens, output_tokens=reply.completion_tokens
    )
    return Decimal(0) if would_cost is None else would_cost - reply.cost_usd


def are_costs_limited(question: ProposedQuestion) -> bool:
    """Whether the agent's file or the task bounds what model calls may cost."""
    bounds = _cost_bounds(question.limits, question.envelope, question.agent)
    return any(each.limit_usd is not None for each in bounds)


def most_input_tokens(request: ChatRequest) -> int:
    """More tokens than any tokenizer makes of a request: none makes two of one byte."""
    schema = request.answer_schema
    told = [request.messages, request.tools, *([schema.schema, _SCHEMA_WORDS] if schema else ())]
    text = json.dumps(told, ensure_ascii=False, default=str)
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
    bounds = _cost_bounds(call.release.manifest.spend, call.envelope, call.release.name)
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


def _cost_bounds(limits: SpendLimits, envelope: TaskEnvelope, agent: str) -> list[Bound]:
    """Costs are bounded by the agent's file, and by the budget that came with the task."""
    bounds = [
        _by_day(
            spend.tenant_total(envelope.tenant),
            limits.cost_per_tenant_day,
            f"the day's budget of {envelope.tenant}",
        )
    ]
    if limits.cost_per_tenant_agent_day is not None:
        bounds.append(
            _by_day(
                spend.agent_total(agent, envelope.tenant),
                limits.cost_per_tenant_agent_day,
                f"the day's budget of {agent} for {envelope.tenant}",
            )
        )
    if limits.cost_per_agent_day is not None:
        of_all = _by_day(
            spend.agent_total(agent), limits.cost_per_agent_day, f"the day's budget of {agent}"
        )
        bounds.append(replace(of_all, private=True))
    budgets = [each for each in (limits.cost_per_task, envelope.budget_usd) if each is not None]
    if budgets:
        bounds.append(_of_task(envelope, min(budgets), "the budget of this task"))
    return bounds


def _by_day(subject: str, limit_usd: Decimal | None, said: str) -> Bound:
    return Bound(subject=subject, by_day=True, limit_usd=limit_usd, said=said)


def _of_task(envelope: TaskEnvelope, limit_usd: Decimal, said: str) -> Bound:
    subject = spend.task_total(envelope.id)
    return Bound(subject=subject, by_day=False, limit_usd=limit_usd, said=said)
