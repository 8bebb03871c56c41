"""What a person decides, checked against the agents that are installed."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from fleet_workers.agents import AgentCatalogue
from fleet_workers.review.assignment import Reviewer, known
from fleet_workers.review.binding import Ruling
from fleet_workers.review.decisions import Remember, decide
from fleet_workers.review.editing import check_agent, checked_arguments
from fleet_workers.store.outbox import Letter


def decide_as(
    connection: Connection,
    catalogue: AgentCatalogue,
    review_id: UUID,
    by: Reviewer,
    ruling: Ruling,
    *,
    text: str,
    arguments: Mapping[str, Any] | None,
    agent: str | None,
    end: bool | None,
    remember: Remember,
    seen: str | None = None,
) -> list[Letter]:
    """Decide an item for somebody; gives the letters to send after the commit.

    Values and errors are those of `decisions.decide`; arguments are checked against the tool
    first, an agent against the installed ones.
    """
    made_by = None
    if arguments is not None or agent is not None:
        item = known(connection, review_id, by)
        if arguments is not None:
            arguments = checked_arguments(catalogue, item, arguments)
            made_by = catalogue.get(item.agent)
        if agent is not None:
            check_agent(catalogue, item, agent)
    return decide(
        connection,
        review_id,
        tenant=by.tenant,
        groups=by.groups,
        ruling=ruling,
        decided_by=by.name,
        text=text,
        arguments=arguments,
        agent=agent,
        end=end,
        seen=seen,
        made_by=made_by,
        remember=remember,
    )
