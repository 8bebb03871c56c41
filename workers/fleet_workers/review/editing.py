"""Checks the arguments with which a person changes an action, before anything is decided."""

from collections.abc import Mapping
from typing import Any

from fleet_contracts.errors import InvalidInput, UnknownAgent
from fleet_workers.agents import AgentCatalogue
from fleet_workers.review.binding import proposal_of
from fleet_workers.store.json_text import as_stored
from fleet_workers.store.reviews import ReviewItem


def checked_arguments(
    catalogue: AgentCatalogue, item: ReviewItem, arguments: Mapping[str, Any]
) -> dict[str, Any]:
    """Arguments as the store keeps them, where the tool takes them and they are the customer's.

    Raises:
        InvalidInput: There is no action to change, the tool does not take them, or they are about
            somebody else; the text says what to send.
    """
    name = proposal_of(item).get("tool")
    if name is None:
        raise InvalidInput("The agent proposes no action here: send an answer.")
    try:
        tool = catalogue.get(item.agent).tools.get(name)
    except UnknownAgent as error:
        raise InvalidInput(f"{item.agent} is not installed here any more.") from error
    if tool is None:
        raise InvalidInput(f"{item.agent} has no tool {name} any more: reject it, or answer.")
    kept = as_stored(dict(arguments))
    try:
        tool.parse_arguments(kept)
    except ValueError as error:
        raise InvalidInput(str(error)) from error
    about = kept.get(tool.customer_argument) if tool.customer_argument else None
    if about is not None and str(about) != item.packet.get("customer"):
        raise InvalidInput(
            f"{tool.customer_argument} must stay {item.packet.get('customer')}: the task is about "
            "nobody else."
        )
    return kept


def check_agent(catalogue: AgentCatalogue, item: ReviewItem, agent: str) -> None:
    """Make sure that an agent can take a task over.

    Raises:
        InvalidInput: It has the task already.
        UnknownAgent: It is not installed.
    """
    catalogue.get(agent)
    if agent == item.agent:
        raise InvalidInput(f"{agent} has this task: reject with a reason to let it go on.")
