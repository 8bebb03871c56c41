"""What only the moment knows about a call: whether it may be made now, and what it costs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from fleet_contracts.envelope import TaskEnvelope
from fleet_workers.agents import AgentRelease
from fleet_workers.agents.bounds import SpendLimits
from fleet_workers.models.messages import ChatReply, ChatRequest, Spent
from fleet_workers.tools import Tool


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedCall:
    """A call that has passed the gates. `key` names it for as long as its task lives.

    `beyond_limits` where a person has allowed it to pass the limits on money.
    """

    tool: Tool
    arguments: Mapping[str, Any]
    envelope: TaskEnvelope
    release: AgentRelease
    key: str
    beyond_limits: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedQuestion:
    """A model call that is about to be made for an agent, under a key of its own.

    `highest_tier` is the largest that the agent may ask, None where it has no choice; `climbs`
    tells that a smaller one was asked in vain.
    """

    request: ChatRequest
    envelope: TaskEnvelope
    agent: str
    limits: SpendLimits
    key: str
    highest_tier: str | None = None
    climbs: bool = False


class Admission(Protocol):
    """Stands before every call that goes out, on every worker."""

    def admit(self, call: ProposedCall) -> None:
        """Let a call be made now; money that it moves or costs is reserved under its key.

        Admitting a call of the same key again reserves nothing more.

        Raises:
            PolicyError: It may not be made, or its amount is no sum: the model is told why.
            BudgetError: A limit on money would be passed: a person is asked.
            BreakerOpen: The tool fails for now.
            ToolDisabled: An operator has disabled it.
            RateLimited: It is called too often for now.
        """
        ...

    def settle(self, call: ProposedCall, *, happened: bool) -> None:
        """Turn what was reserved into what was spent, or give it back; once, however often told.

        While the store is away it stays reserved, which is never too little.
        """
        ...

    def give_back(self, key: str) -> None:
        """Give back what was reserved under a key: its call was not made. Otherwise as above."""
        ...

    def admit_question(self, question: ProposedQuestion) -> None:
        """Let a model call be made; the most that it can cost is reserved, where that is known.

        Raises:
            BudgetError: A limit would be passed, or there is one and the price is not known.
        """
        ...

    def settle_question(self, question: ProposedQuestion, took: ChatReply | Spent | None) -> None:
        """Turn what was reserved into what it cost, and note what was used and saved.

        None tells that nothing was asked. What cost a sum that is not known counts as reserved.
        """
        ...


class Everything:
    """Admits every call; for runs that touch nothing outside."""

    def admit(self, call: ProposedCall) -> None:
        """Let it be made."""

    def settle(self, call: ProposedCall, *, happened: bool) -> None:
        """Nothing was reserved."""

    def give_back(self, key: str) -> None:
        """Nothing was reserved."""

    def admit_question(self, question: ProposedQuestion) -> None:
        """Let it be asked."""

    def settle_question(self, question: ProposedQuestion, took: ChatReply | Spent | None) -> None:
        """Nothing was reserved."""
