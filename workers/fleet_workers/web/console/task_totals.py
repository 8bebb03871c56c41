"""Adds up what a task took: time in models, in tools, with people and in queues, and money."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from fleet_workers.store.journal import Step, StepKind
from fleet_workers.store.reviews import ReviewItem
from fleet_workers.web.console.timeline import duration_of

_NONE = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What a task took so far.

    `waited` is the rest of its life: in queues, between attempts, and in the controller.
    `unpriced` counts model calls whose price is not known: they stand in no cost.
    """

    life: timedelta
    in_models: timedelta
    in_tools: timedelta
    with_people: timedelta
    waited: timedelta
    model_calls: int
    tool_calls: int
    tokens: int
    cost_usd: Decimal
    unpriced: int


def add_up(
    steps: Sequence[Step],
    reviews: Sequence[ReviewItem],
    *,
    begun_at: datetime,
    ended_at: datetime,
) -> Totals:
    """The totals of a task whose life so far spans from `begun_at` to `ended_at`."""
    life = max(_NONE, ended_at - begun_at)
    in_models, in_tools = _time_in(steps, StepKind.PLAN), _time_in(steps, StepKind.TOOL)
    with_people = sum((_waited(each, ended_at) for each in reviews), _NONE)
    usages = [step.usage for step in steps if step.usage is not None]
    return Totals(
        life=life,
        in_models=in_models,
        in_tools=in_tools,
        with_people=with_people,
        waited=max(_NONE, life - in_models - in_tools - with_people),
        model_calls=sum(step.kind is StepKind.PLAN for step in steps),
        tool_calls=sum(step.kind is StepKind.TOOL for step in steps),
        tokens=sum(usage.tokens for usage in usages),
        cost_usd=sum((usage.cost_usd or Decimal(0) for usage in usages), Decimal(0)),
        unpriced=sum(usage.cost_usd is None for usage in usages),
    )


def _time_in(steps: Sequence[Step], kind: StepKind) -> timedelta:
    return sum((duration_of(step) or _NONE for step in steps if step.kind is kind), _NONE)


def _waited(item: ReviewItem, ended_at: datetime) -> timedelta:
    """How long the task waited for a person; what is looked at after its end held it up by none."""
    until = min(item.decided_at or ended_at, ended_at)
    return max(_NONE, until - item.created_at)
