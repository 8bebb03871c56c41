"""Admits calls by what holds at this moment: rights, switches, breakers, rates, money."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import lru_cache

import structlog
from sqlalchemy import Engine

from fleet_contracts.errors import (
    BreakerOpen,
    BudgetError,
    PolicyError,
    RateLimited,
    ToolDisabled,
    Unavailable,
)
from fleet_workers.controller.admission import ProposedCall, ProposedQuestion
from fleet_workers.controller.expenses import (
    are_costs_limited,
    call_expenses,
    most_input_tokens,
    question_expense,
    use_of,
)
from fleet_workers.models.messages import ChatReply, Spent
from fleet_workers.models.prices import PriceList
from fleet_workers.resilience.guards import Guards
from fleet_workers.resilience.limits import RateLimit, parse_rate
from fleet_workers.store import spend
from fleet_workers.store.engine import store_errors
from fleet_workers.store.model_use import Use
from fleet_workers.store.spend import Expense
from fleet_workers.store.use_counter import NoteUse, ignore

log = structlog.get_logger(__name__)

_DISABLED_WAIT_SECONDS = 30.0  # a task that waits for an operator looks again this often
_parsed = lru_cache(maxsize=1024)(parse_rate)


class Gatekeeper:
    """The admission of a worker process; safe to use from every slot."""

    def __init__(
        self,
        *,
        guards: Guards,
        engine: Engine,
        prices: PriceList,
        models: Mapping[str, Sequence[str]],
        max_output_tokens: int,
        note_use: NoteUse = ignore,
    ) -> None:
        self._guards = guards
        self._engine = engine
        self._prices = prices
        self._models = models
        self._max_output_tokens = max_output_tokens
        self._note_use = note_use

    def admit(self, call: ProposedCall) -> None:
        """Let a call be made now, or raise what keeps it from being made.

        The cheapest and the most final reasons come first; money is reserved last.
        """
        self._require_right(call)
        expenses = call_expenses(call)
        self._require_switched_on(call)
        self._require_closed_breaker(call)
        self._take_rates(call)
        if expenses:
            self._reserve(expenses)

    def settle(self, call: ProposedCall, *, happened: bool) -> None:
        """Turn what was reserved into what was spent, or give it back."""
        if not call_expenses(call):
            return
        if happened:
            self._settle(call.key)
        else:
            self.give_back(call.key)

    def give_back(self, key: str) -> None:
        """Give back what was reserved for a call that was not made."""
        try:
            with store_errors(), self._engine.begin() as connection:
                spend.give_back(connection, key)
        except Unavailable as error:
            log.warning("spend.unsettled", key=key, error=str(error))

    def admit_question(self, question: ProposedQuestion) -> None:
        """Reserve the most that a model call can cost; what costs nothing is not counted.

        Any of the tier's models may answer where those before it are away, so the dearest counts.
        """
        dearest: tuple[Decimal, str] | None = None
        for model in self._candidates(question):
            most_usd = self._prices.cost_usd(
                model,
                input_tokens=most_input_tokens(question.request),
                output_tokens=self._most_output_tokens(question),
            )
            if most_usd is not None:
                dearest = max(dearest or (Decimal(0), model), (most_usd, model))
            elif are_costs_limited(question):
                raise BudgetError(
                    f"The price of {model} is not known, and this task's costs are limited: add "
                    "it to the file that FLEET_PRICES names."
                )
        if dearest is not None and dearest[0]:
            self._reserve([question_expense(question, *dearest)])

    def settle_question(self, question: ProposedQuestion, took: ChatReply | Spent | None) -> None:
        """Turn what was reserved into what it cost; what is not known counts as reserved."""
        if took is not None and not _is_nothing(took):
            self._note_use(self._use(question, took))
        if any(self._prices.is_free(model) is False for model in self._candidates(question)):
            cost_usd = Decimal(0) if took is None else took.cost_usd
            known = None if cost_usd is None else spend.rounded(cost_usd)
            self._settle(question.key, amount_usd=known)

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

    def _reserve(self, expenses: list[Expense]) -> None:
        with store_errors(), self._engine.begin() as connection:
            spend.reserve(connection, expenses)

    def _settle(self, key: str, *, amount_usd: Decimal | None = None) -> None:
        try:
            with store_errors(), self._engine.begin() as connection:
                spend.settle(connection, key, amount_usd=amount_usd)
        except Unavailable as error:
            log.warning("spend.unsettled", key=key, error=str(error))

    def _candidates(self, question: ProposedQuestion) -> Sequence[str]:
        return self._of_tier(question.request.tier)

    def _of_tier(self, tier: str) -> Sequence[str]:
        return self._models.get(tier) or self._models["small"]

    def _most_output_tokens(self, question: ProposedQuestion) -> int:
        wanted = question.request.max_output_tokens
        return min(wanted or self._max_output_tokens, self._max_output_tokens)

    def _use(self, question: ProposedQuestion, took: ChatReply | Spent) -> Use:
        highest = question.highest_tier
        dearest = None if highest is None else self._of_tier(highest)[0]
        return use_of(question, took, prices=self._prices, dearest=dearest)


def _is_nothing(took: ChatReply | Spent) -> bool:
    """Whether it turned out that nothing was asked, or was refused before anything was made."""
    return (
        isinstance(took, Spent)
        and took.cost_usd == 0
        and not (took.prompt_tokens or took.completion_tokens)
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
        RateLimit(scope=scope, rate=_parsed(rate)) for scope, rate in wanted if rate is not None
    ]
