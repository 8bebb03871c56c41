"""What an agent's file bounds: how much money, and how many tool calls in a time."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from fleet_contracts.errors import ConfigurationError
from fleet_workers.resilience.limits import parse_rate


def _checked_rate(text: str) -> str:
    try:
        parse_rate(text)
    except ConfigurationError as error:
        raise ValueError(str(error)) from error
    return text


Rate = Annotated[str, AfterValidator(_checked_rate)]
WhenSpent = Literal["review", "smaller", "refuse"]
_Usd = Annotated[Decimal, Field(ge=0)]


class SpendLimits(BaseModel):
    """Bounds on money, in US dollars; what is not set is not bounded. Days are those of UTC.

    `moved` bounds what tools pay out, refund or charge; `cost` what models and tools cost. A
    customer's and a tenant's totals count what all agents spend, also those without a limit. Tasks
    that name no customer count as those of one. An agent's day counts what it costs for all
    tenants together, from the release on that has such a limit; its day with a tenant likewise.

    `when_spent` says what follows where a limit on costs leaves no room for a model call: a person
    takes over; a smaller tier is asked, in the end for a short answer, and a person takes over
    where that costs too much as well; or the task ends as rejected, unless it has changed
    something already.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    moved_per_action: _Usd | None = None
    moved_per_task: _Usd | None = None
    moved_per_customer_day: _Usd | None = None
    moved_per_tenant_day: _Usd | None = None
    cost_per_task: _Usd | None = None
    cost_per_tenant_day: _Usd | None = None
    cost_per_agent_day: _Usd | None = None
    cost_per_tenant_agent_day: _Usd | None = None
    when_spent: WhenSpent = "review"


class Rates(BaseModel):
    """The most tool calls of this agent, of all workers together, such as `100/minute`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    agent: Rate | None = None
    tenant: Rate | None = None
    customer: Rate | None = None
