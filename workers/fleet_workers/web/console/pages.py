"""The console's pages. Every one shows the visitor's own tenant, or all for tenant `*`."""

from collections.abc import Mapping
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from fleet_contracts.states import TaskState
from fleet_workers.store import dead_letters, reviews, views
from fleet_workers.store.journal import read_steps
from fleet_workers.web.api.agents import agent_views
from fleet_workers.web.api.reviews import find_review
from fleet_workers.web.api.tasks import find_task
from fleet_workers.web.console.packet import packet_sections
from fleet_workers.web.console.rendering import page
from fleet_workers.web.console.sessions import Visitor
from fleet_workers.web.console.timeline import build_timeline, used_offline_model
from fleet_workers.web.figures import read_figures
from fleet_workers.web.resources import Resources

_ROWS = 50
_ROWS_AT_A_GLANCE = 12

router = APIRouter(prefix="/console")


@router.get("")
def show_overview(request: Request, resources: Resources, holder: Visitor) -> Response:
    """What the fleet does now, at a glance."""
    figures = read_figures(resources, tenant=holder.sees)
    with resources.transaction() as connection:
        newest = views.recent(connection, tenant=holder.sees, limit=_ROWS_AT_A_GLANCE)
        waiting = reviews.waiting(connection, tenant=holder.sees, limit=5)
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


@router.get("/tasks")
def show_tasks(
    request: Request,
    resources: Resources,
    holder: Visitor,
    state: Annotated[TaskState | None, Query()] = None,
) -> Response:
    """The newest tasks, optionally in one state."""
    with resources.transaction() as connection:
        found = views.recent(
            connection, tenant=holder.sees, states=[state] if state else [], limit=_ROWS
        )
    return page(
        request,
        "tasks.html",
        holder=holder,
        tasks=found,
        state=state,
        states=list(TaskState),
        limit=_ROWS,
    )


@router.get("/tasks/{task_id}")
def show_task(request: Request, resources: Resources, holder: Visitor, task_id: UUID) -> Response:
    """One task with its timeline."""
    view = find_task(resources, holder, task_id)
    with resources.transaction() as connection:
        steps = read_steps(connection, task_id)
        envelope = views.envelope_of(connection, task_id) or {}
        items = reviews.of_task(connection, task_id)
    return page(
        request,
        "task.html",
        holder=holder,
        task=view,
        envelope=envelope,
        timeline=build_timeline(steps),
        reviews=items,
        offline=used_offline_model(steps) or (view.outcome is not None and view.outcome.offline),
    )


@router.get("/reviews")
def show_reviews(request: Request, resources: Resources, holder: Visitor) -> Response:
    """What waits for a person, oldest first."""
    with resources.transaction() as connection:
        items = reviews.waiting(connection, tenant=holder.sees, limit=_ROWS)
        number = reviews.count_waiting(connection, tenant=holder.sees)
    return page(request, "reviews.html", holder=holder, reviews=items, number=number)


@router.get("/reviews/{review_id}")
def show_review(
    request: Request, resources: Resources, holder: Visitor, review_id: UUID
) -> Response:
    """One item with its packet."""
    item = find_review(resources, holder, review_id)
    sections = packet_sections(item.packet)
    return page(request, "review.html", holder=holder, review=item, sections=sections)


@router.get("/dead-letters")
def show_dead_letters(request: Request, resources: Resources, holder: Visitor) -> Response:
    """What the fleet gave up."""
    with resources.transaction() as connection:
        letters = dead_letters.unsettled(connection, tenant=holder.sees, limit=_ROWS)
        number = dead_letters.count_unsettled(connection, tenant=holder.sees)
    return page(request, "dead_letters.html", holder=holder, letters=letters, number=number)


@router.get("/agents")
def show_agents(request: Request, resources: Resources, holder: Visitor) -> Response:
    """The installed agents with their boundaries and tools."""
    return page(request, "agents.html", holder=holder, agents=agent_views(resources.catalogue))


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
