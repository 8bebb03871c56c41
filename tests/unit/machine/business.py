"""The business that the agent works for: its tools, and its own record of what was done."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from fleet_workers.agents import AgentCatalogue
from fleet_workers.agents.manifest import ApprovalRule, Limits, Manifest, Scope
from fleet_workers.agents.release import AgentRelease
from fleet_workers.tools import CONTENT, Tool, ToolContext, ToolRegistry, tool
from unit.machine.strikes import point

_AGES = timedelta(minutes=30)  # an earlier request is over when the machine says so
Words = Annotated[str, CONTENT]
SMALL, LARGE = Decimal(5), Decimal(500)
APPROVAL_ABOVE = Decimal(50)


@dataclass(frozen=True, kw_only=True)
class Effect:
    """One thing that was really done, and with which call."""

    tool: str
    order: str
    key: str
    wording: str
    amount: Decimal | None = None


@dataclass
class Business:
    """Does what it is told. `refund` honours keys; of the others each call is one more effect.

    `may_act` tells whether the worker that calls still holds the task.
    """

    may_act: Callable[[UUID], bool]
    effects: list[Effect] = field(default_factory=list)
    trespasses: list[str] = field(default_factory=list)

    def count(self) -> Counter[str]:
        """Effects by order."""
        return Counter(effect.order for effect in self.effects)

    def do(self, context: ToolContext, effect: Effect) -> dict[str, Any]:
        if not self.may_act(context.task_id):
            self.trespasses.append(f"{effect.tool} {effect.order}")
        point("tool.before")
        known = {each.key for each in self.effects} if effect.tool == "refund" else set()
        if effect.key not in known:
            self.effects.append(effect)
        point("tool.after")
        return {"done": effect.order}

    def tools(self) -> list[Tool]:
        """One of each kind: a read, and writes that are idempotent, reconciled, or neither."""

        @tool(effect="read", trusted=True)
        def find_order(context: ToolContext, order: str, wording: Words) -> dict[str, Any]:
            """Look an order up."""
            point("tool.before")
            point("tool.after")
            return {"found": order}

        @tool(effect="write", repeat="idempotent", trusted=True)
        def refund(
            context: ToolContext, order: str, wording: Words, amount: Decimal
        ) -> dict[str, Any]:
            """Pay money back."""
            key = context.idempotency_key
            return self.do(
                context,
                Effect(tool="refund", order=order, key=key, wording=wording, amount=amount),
            )

        def look(context: ToolContext, order: str, wording: Words) -> dict[str, Any] | None:
            done = any(each.order == order for each in self.effects)
            return {"done": order} if done else None

        @tool(effect="write", repeat="reconcile", reconciler=look, timeout=_AGES, trusted=True)
        def note(context: ToolContext, order: str, wording: Words) -> dict[str, Any]:
            """Note something on an order."""
            key = context.idempotency_key
            return self.do(context, Effect(tool="note", order=order, key=key, wording=wording))

        @tool(effect="write", repeat="none", trusted=True)
        def courier(context: ToolContext, order: str, wording: Words) -> dict[str, Any]:
            """Send a courier."""
            key = context.idempotency_key
            return self.do(context, Effect(tool="courier", order=order, key=key, wording=wording))

        return [find_order, refund, note, courier]


def catalogue_of(tools: Sequence[Tool]) -> AgentCatalogue:
    """The one agent of a business, with all of its tools."""
    manifest = Manifest(
        name="clerk",
        title="Clerk",
        description="Does whatever the tests ask for.",
        tools=tuple(each.name for each in tools),
        scope=Scope(handles=("Everything",), never=("Nothing",)),
        limits=Limits(model_calls=40, tool_calls=40, corrections=1),
        approvals={"refund": ApprovalRule(argument="amount", above=APPROVAL_ABOVE)},
    )
    release = AgentRelease(
        id="clerk@v1-test", manifest=manifest, prompt="Work.", tools=ToolRegistry(tools)
    )
    return AgentCatalogue([release])
