"""The console's first page: what the fleet does now, at a glance."""

from collections.abc import Mapping

from fastapi import APIRouter, Request
from fastapi.responses import Response

from fleet_contracts.states import TaskState
from fleet_workers.store import dead_letters, review_queue, views
from fleet_workers.store.review_queue import QueueFilter
from fleet_workers.web.console.rendering import page
from fleet_workers.web.console.sessions import Visitor
from fleet_workers.web.figures import read_figures
from fleet_workers.web.resources import Resources

_ROWS_AT_A_GLANCE = 12

router = APIRouter(prefix="/console")


@router.get("")
def show_overview(request: Request, resources: Resources, holder: Visitor) -> Response:
    """Counts, what waits for people, the newest tasks, and what was given up."""
    figures = read_figures(resources, tenant=holder.sees)
    with resources.transaction() as connection:
        newest = views.recent(connection, tenant=holder.sees, limit=_ROWS_AT_A_GLANCE)
        own = QueueFilter(tenant=holder.sees, groups=holder.groups)
        waiting = review_queue.page(connection, own, limit=5)
        letters = dead_letters.unsettled(connection, tenant=holder.sees, limit=5)
    return page(
        request,
        "overview.html",
        holder=holder,
        figures=figures,
        table=count_table(figures.tasks),
        tasks=newest,
        reviews=waiting,
        letters=letters,
        offline=any(view.outcome is not None and view.outcome.offline for view in newest),
    )


def count_table(
    counts: Mapping[tuple[str, str], int],
) -> tuple[list[str], list[tuple[str, list[int]]]]:
    """Counts by agent and state as a table: the states that occur, and a row of them an agent."""
    present = {state for _, state in counts}
    states = [state.value for state in TaskState if state in present]
    agents = sorted({agent for agent, _ in counts})
    return states, [
        (agent, [counts.get((agent, state), 0) for state in states]) for agent in agents
    ]
