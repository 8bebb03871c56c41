"""The arguments with which a person changes an action are checked before anything is decided."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from fleet_contracts.errors import InvalidInput, UnknownAgent
from fleet_contracts.outcome import ReviewKind
from fleet_workers.agents import AgentCatalogue
from fleet_workers.review.editing import check_agent, checked_arguments
from fleet_workers.store.reviews import ReviewItem
from unit.machine.business import Business, catalogue_of

ARGUMENTS = {"order": "7", "amount": "500", "wording": "w"}


def item(agent: str = "clerk", **proposal: Any) -> ReviewItem:
    return ReviewItem(
        id=uuid4(),
        task_id=uuid4(),
        tenant="acme",
        agent=agent,
        kind=ReviewKind.APPROVAL,
        reason="r",
        state="waiting",
        packet={"customer": "7", "proposal": proposal},
        created_at=datetime.now(UTC),
    )


def catalogue(**changes: Any) -> AgentCatalogue:
    """The clerk, whose tools differ in something."""
    tools = Business(may_act=lambda *_: True).tools()
    return catalogue_of([replace(each, **changes) for each in tools])


def test_arguments_that_the_tool_takes_are_given_as_the_store_keeps_them() -> None:
    wanted = {**ARGUMENTS, "wording": "a\x00b"}
    kept = checked_arguments(catalogue(), item(tool="refund", arguments=ARGUMENTS), wanted)
    assert kept == {**ARGUMENTS, "wording": "a\u2400b"}


@pytest.mark.parametrize("amount", ["a lot", None, [], {}, "NaN"])
def test_what_the_tool_does_not_take_is_refused_with_its_words(amount: object) -> None:
    with pytest.raises(InvalidInput, match="refund not accepted"):
        checked_arguments(
            catalogue(), item(tool="refund", arguments=ARGUMENTS), {**ARGUMENTS, "amount": amount}
        )


def test_nobody_else_becomes_the_customer() -> None:
    known = catalogue(customer_argument="order")
    proposal = item(tool="refund", arguments=ARGUMENTS)
    assert checked_arguments(known, proposal, ARGUMENTS) == ARGUMENTS
    with pytest.raises(InvalidInput, match="order must stay 7"):
        checked_arguments(known, proposal, {**ARGUMENTS, "order": "8"})


def test_there_must_be_an_action_and_its_tool() -> None:
    with pytest.raises(InvalidInput, match="proposes no action"):
        checked_arguments(catalogue(), item(answer="a"), {})
    with pytest.raises(InvalidInput, match="has no tool gone any more"):
        checked_arguments(catalogue(), item(tool="gone"), {})
    with pytest.raises(InvalidInput, match="nobody is not installed"):
        checked_arguments(catalogue(), item("nobody", tool="refund"), {})


def test_a_task_goes_to_another_agent_that_is_there() -> None:
    with pytest.raises(InvalidInput, match="clerk has this task"):
        check_agent(catalogue(), item(), "clerk")
    with pytest.raises(UnknownAgent):
        check_agent(catalogue(), item(), "nobody")
