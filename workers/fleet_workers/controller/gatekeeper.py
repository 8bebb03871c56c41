"""Admits calls by what holds at this moment: rights, switches, breakers, rates, money."""

from collections.abc import Mapping
from decimal import Decimal

from sqlalchemy import Engine

from fleet_contracts.envelope import TaskEnvelope
from fleet_contracts.errors import (
    BreakerOpen,
    BudgetError,
    PolicyError,
    RateLimited,
    ToolDisabled,
)
from fleet_workers.agents.bounds import SpendLimits
from fleet_workers.controller.admission import ProposedCall, ProposedQuestion
from fleet_workers.models.prices import Prices
from fleet_workers.resilience.guards import Guards
from fleet_workers.resilience.limits import RateLimit, parse_rate
from fleet_workers.store import spend
from fleet_workers.store.engine import store_errors
from fleet_workers.store.spend import Bound, Expense

_DISABLED_WAIT_SECONDS = 30.0  # a task that waits for an operator looks again this often
_CHARACTERS_A_TOKEN = 2  # no text of any language has fewer, so that an estimate is never too low


class Gatekeeper:
    """The admission of a worker process; safe to use from every slot."""

    def __init__(
        self,
        *,
        guards: Guards,
        engine: Engine,
        prices: Prices,
        models: Mapping[str, str],
        max_output_tokens: int,
    ) -> None:
        self._guards = guards
        self._engine = engine
        self._prices = prices
        self._models = models
        self._max_output_tokens = max_output_tokens

    def admit(self, call: ProposedCall) -> None:
        """Let a call be made now, or raise what keeps it from being made.

        The cheapest and the most final reasons come first; money is reserved last.
        """
        self._require_right(call)
        self._require_switched_on(call)
        self._require_closed_breaker(call)
        self._take_rates(call)
        self._reserve(call)

    def settle(self, call: ProposedCall, *, happened: bool) -> None:
        """Turn what was reserved into what was spent, or give it back."""
        for expense, bounds in _expenses(call):
            with store_errors(), self._engine.begin() as connection:
                spend.settle(
                    connection,
                    expense.key,
                    expense.kind,
                    [(bound.subject, bound.by_day) for bound in bounds],
                    amount_usd=expense.amount_usd if happened else Decimal(0),
                )

    def admit_question(self, question: ProposedQuestion) -> None:
        """Reserve the most that a model call can cost, where its agent or task bounds costs."""
        bounds = _cost_bounds(question.limits, question.envelope)
        if not bounds:
            return
        expense = self._question_expense(question)
        with store_errors(), self._engine.begin() as connection:
            spend.reserve(connection, expense, bounds)

    def settle_question(self, question: ProposedQuestion, cost_usd: Decimal | None) -> None:
        """Turn what was reserved into what it cost; what is not known stays as reserved."""
        bounds = _cost_bounds(question.limits, question.envelope)
        if not bounds or cost_usd is None:
            return
        with store_errors(), self._engine.begin() as connection:
            subjects = [(bound.subject, bound.by_day) for bound in bounds]
            spend.settle(connection, question.key, "cost", subjects, amount_usd=cost_usd)

    def _require_right(self, call: ProposedCall) -> None:
        needed = frozenset({call.tool.name, *call.tool.scopes})
        found = self._guards.switches.withheld(
            needed, tenant=call.envelope.tenant, customer=call.envelope.customer
        )
        if found is not None:
            raise PolicyError(f"{call.tool.name} is not allowed here: {found.reason}")

    def _require_switched_on(self, call: ProposedCall) -> None:
        found = self._guards.switches.disabled(
            call.tool.name, tenant=call.envelope.tenant, agent=call.release.name
        )
        if found is not None:
            raise ToolDisabled(
                f"{call.tool.name} is disabled: {found.reason}",
                retry_after_seconds=_DISABLED_WAIT_SECONDS,
            )

    def _require_closed_breaker(self, call: ProposedCall) -> None:
        wait_seconds = self._guards.breakers.is_open(f"tool {call.tool.name}")
        if wait_seconds:
            raise BreakerOpen(
                f"{call.tool.name} fails for now and is left alone for a while.",
                retry_after_seconds=max(wait_seconds, 1.0),
            )

    def _take_rates(self, call: ProposedCall) -> None:
        wait_seconds = self._guards.limits.take(_rates(call))
        if wait_seconds is not None:
            raise RateLimited(
                f"{call.tool.name} is called as often as is allowed for now.",
                retry_after_seconds=wait_seconds,
            )

    def _reserve(self, call: ProposedCall) -> None:
        limit = call.release.manifest.spend.moved_per_action
        for expense, bounds in _expenses(call):
            if (
                expense.kind == "moved"
                and limit is not None
                and expense.amount_usd > limit
                and not call.beyond_limits
            ):
                raise BudgetError(
                    f"{call.tool.name} with {expense.amount_usd:.2f} USD is over the limit of one "
                    f"action, {limit:.2f} USD."
                )
            with store_errors(), self._engine.begin() as connection:
                spend.reserve(connection, expense, bounds)

    def _question_expense(self, question: ProposedQuestion) -> Expense:
        request = question.request
        model = self._models.get(request.tier, "")
        characters = sum(len(str(each)) for each in (*request.messages, *request.tools))
        most = self._prices.cost_usd(
            model,
            input_tokens=characters // _CHARACTERS_A_TOKEN,
            output_tokens=self._max_output_tokens,
        )
        if most is None:
            raise BudgetError(
                f"The price of {model} is not known, and this task's costs are limited: add it to "
                "the file that FLEET_PRICES names."
            )
        envelope = question.envelope
        return Expense(
            key=question.key,
            kind="cost",
            task_id=envelope.id,
            tenant=envelope.tenant,
            agent=question.agent,
            customer=envelope.customer,
            purpose=f"a call of {model}",
            amount_usd=most,
        )


def _rates(call: ProposedCall) -> list[RateLimit]:
    rates, agent, envelope = call.release.manifest.rates, call.release.name, call.envelope
    wanted = [
        (("tool", call.tool.name), call.tool.rate),
        (("agent", agent), rates.agent),
        (("agent", agent, "tenant", envelope.tenant), rates.tenant),
        (
            ("agent", agent, "tenant", envelope.tenant, "customer", envelope.customer or ""),
            rates.customer,
        ),
    ]
    return [
        RateLimit(scope=scope, rate=parse_rate(rate)) for scope, rate in wanted if rate is not None
    ]


def _expenses(call: ProposedCall) -> list[tuple[Expense, list[Bound]]]:
    """What a call moves and costs, each with what it counts against."""
    found = []
    if call.tool.money is not None:
        amount = call.tool.parse_arguments(call.arguments)[call.tool.money]
        if amount is not None:
            found.append((_expense(call, "moved", Decimal(str(amount))), _moved_bounds(call)))
    if call.tool.cost_usd:
        bounds = _cost_bounds(call.release.manifest.spend, call.envelope)
        bounds = [_unbounded(each) for each in bounds] if call.beyond_limits else bounds
        found.append((_expense(call, "cost", call.tool.cost_usd), bounds))
    return found


def _expense(call: ProposedCall, kind: spend.SpendKind, amount_usd: Decimal) -> Expense:
    return Expense(
        key=call.key,
        kind=kind,
        task_id=call.envelope.id,
        tenant=call.envelope.tenant,
        agent=call.release.name,
        customer=call.envelope.customer,
        purpose=call.tool.name,
        amount_usd=amount_usd,
    )


def _moved_bounds(call: ProposedCall) -> list[Bound]:
    limits, envelope = call.release.manifest.spend, call.envelope
    bounds = [
        Bound(
            subject=spend.task_total(envelope.id),
            by_day=False,
            limit_usd=limits.moved_per_task,
            said="the limit of one task",
        ),
        Bound(
            subject=spend.tenant_total(envelope.tenant),
            by_day=True,
            limit_usd=limits.moved_per_tenant_day,
            said=f"the day's limit of {envelope.tenant}",
        ),
    ]
    if envelope.customer is not None:
        bounds.append(
            Bound(
                subject=spend.customer_total(envelope.tenant, envelope.customer),
                by_day=True,
                limit_usd=limits.moved_per_customer_day,
                said="the day's limit of this customer",
            )
        )
    return [_unbounded(each) for each in bounds] if call.beyond_limits else bounds


def _cost_bounds(limits: SpendLimits, envelope: TaskEnvelope) -> list[Bound]:
    """Costs are bounded by the agent's file, and by the budget that came with the task."""
    budgets = [each for each in (limits.cost_per_task, envelope.budget_usd) if each is not None]
    bounds = []
    if budgets:
        bounds.append(
            Bound(
                subject=spend.task_total(envelope.id),
                by_day=False,
                limit_usd=min(budgets),
                said="the budget of this task",
            )
        )
    if limits.cost_per_tenant_day is not None:
        bounds.append(
            Bound(
                subject=spend.tenant_total(envelope.tenant),
                by_day=True,
                limit_usd=limits.cost_per_tenant_day,
                said=f"the day's budget of {envelope.tenant}",
            )
        )
    return bounds


def _unbounded(bound: Bound) -> Bound:
    return Bound(subject=bound.subject, by_day=bound.by_day, limit_usd=None, said=bound.said)
