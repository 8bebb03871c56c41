"""Agents and tools in the console: what each may do, and the forms that pause and switch them."""

from collections.abc import Callable

from fastapi import APIRouter, Request
from fastapi.responses import Response

from fleet_contracts.envelope import AUTO_AGENT
from fleet_contracts.errors import InvalidInput, UnknownTenant
from fleet_workers.agents.grants import require_tool
from fleet_workers.store import pauses, switches
from fleet_workers.store.accounts import KeyHolder, tenant_exists
from fleet_workers.store.pauses import EVERY
from fleet_workers.web.api.agents import agent_views
from fleet_workers.web.console.flashes import Flash, see_other
from fleet_workers.web.console.forms import Fields, SessionForm
from fleet_workers.web.console.rendering import page
from fleet_workers.web.console.sessions import Visitor
from fleet_workers.web.console.tool_standing import known_breakers, standing_of_tool, troubled
from fleet_workers.web.console.visitors import FleetOperator
from fleet_workers.web.resources import Resources, WebResources

AGENTS = "/console/agents"
_MAX_NAME = 200
_MAX_REASON = 500

router = APIRouter(prefix=AGENTS)


@router.get("")
def show_agents(request: Request, resources: Resources, holder: Visitor) -> Response:
    """The installed agents with their boundaries and tools, and what is paused or switched off."""
    with resources.transaction() as connection:
        paused = pauses.all_pauses(connection)
        disabled = switches.all_switches(connection)
    breakers = known_breakers(resources)
    agents = agent_views(resources.catalogue)
    return page(
        request,
        "agents.html",
        holder=holder,
        agents=agents,
        prompts={each.name: resources.catalogue.get(each.name).prompt for each in agents},
        pauses=paused,
        tools={
            (agent.name, tool.name): standing_of_tool(
                tool.name, agent.name, switches=disabled, breakers=breakers
            )
            for agent in agents
            for tool in agent.tools
        },
        breakers=None if breakers is None else troubled(breakers),
    )


@router.post("/pause")
def pause(
    request: Request, resources: Resources, holder: FleetOperator, form: SessionForm
) -> Response:
    """Let no task of an agent, or of a tenant, run."""

    def change() -> str:
        agent, tenant = _agent(resources, form), _tenant(resources, holder, form)
        with resources.transaction() as connection:
            done = pauses.pause(
                connection,
                agent=agent,
                tenant=tenant,
                reason=_reason(form),
                paused_by=holder.label,
            )
        return f"{_whom(agent, tenant)} is paused: {done.reason}"

    return _answer(request, change)


@router.post("/resume")
def resume(
    request: Request, resources: Resources, holder: FleetOperator, form: SessionForm
) -> Response:
    """Take a pause back, named as it was set."""

    def change() -> str:
        agent, tenant = form.get("agent") or EVERY, _tenant(resources, holder, form)
        with resources.transaction() as connection:
            was_paused = pauses.resume(
                connection, agent=agent, tenant=tenant, resumed_by=holder.label
            )
        return f"{_whom(agent, tenant)} {'runs again' if was_paused else 'was not paused'}."

    return _answer(request, change)


@router.post("/tools/disable")
def disable(
    request: Request, resources: Resources, holder: FleetOperator, form: SessionForm
) -> Response:
    """Let no more calls of a tool begin."""

    def change() -> str:
        tool, agent = form.get("tool"), form.get("agent") or EVERY
        require_tool(resources.catalogue, tool, agent=agent)
        tenant = _tenant(resources, holder, form)
        with resources.transaction() as connection:
            done = switches.disable(
                connection,
                tool=tool,
                tenant=tenant,
                agent=agent,
                reason=_reason(form),
                disabled_by=holder.label,
            )
        return f"{tool} is disabled for {_whom(agent, tenant)}: {done.reason}"

    return _answer(request, change)


@router.post("/tools/enable")
def enable(
    request: Request, resources: Resources, holder: FleetOperator, form: SessionForm
) -> Response:
    """Take a switch back, named as it was set."""

    def change() -> str:
        tool, agent = form.get("tool"), form.get("agent") or EVERY
        tenant = _tenant(resources, holder, form)
        with resources.transaction() as connection:
            was_disabled = switches.enable(
                connection, tool=tool, tenant=tenant, agent=agent, enabled_by=holder.label
            )
        return f"{tool} {'is enabled' if was_disabled else 'was not disabled'}."

    return _answer(request, change)


def _answer(request: Request, change: Callable[[], str]) -> Response:
    """Do it, and tell on the page of agents what came of it."""
    try:
        flash = Flash(text=change())
    except InvalidInput as error:
        flash = Flash(text=f"Nothing was changed. {error}", tone="bad")
    return see_other(request, AGENTS, flash)


def _agent(resources: WebResources, form: Fields) -> str:
    agent = form.get("agent") or EVERY
    if agent not in {EVERY, AUTO_AGENT}:
        resources.catalogue.get(agent)
    return agent


def _tenant(resources: WebResources, holder: KeyHolder, form: Fields) -> str:
    """The tenant that a form names, or the holder's own: `*` is every one."""
    tenant = form.get("tenant")[:_MAX_NAME] or holder.tenant
    known = tenant == EVERY
    if not known and holder.sees in {None, tenant}:
        with resources.transaction() as connection:
            known = tenant_exists(connection, tenant)
    if not known or holder.sees not in {None, tenant}:
        raise UnknownTenant(f"No tenant {tenant!r} is known here.")
    return tenant


def _reason(form: Fields) -> str:
    reason = form.get("reason")[:_MAX_REASON]
    if not reason:
        raise InvalidInput("Say why: people whose tasks wait read it.")
    return reason


def _whom(agent: str, tenant: str) -> str:
    who = "every agent" if agent == EVERY else agent
    return f"{who} of all tenants" if tenant == EVERY else f"{who} of {tenant}"
