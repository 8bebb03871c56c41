"""`GET /v1/tools`, `POST /v1/tools/{name}/disable|enable`.

No call of a disabled tool begins; every worker knows within a second.
"""

from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Body, Path
from pydantic import BaseModel, ConfigDict, StringConstraints

from fleet_contracts.errors import UnknownTenant
from fleet_workers.agents.grants import granted_tools, require_tool
from fleet_workers.store import switches
from fleet_workers.store.accounts import KeyHolder, tenant_exists
from fleet_workers.store.pauses import EVERY
from fleet_workers.store.switches import Switch
from fleet_workers.tools.declaration import Effect, RepeatSafety, Stakes
from fleet_workers.web.access import DeskReader, Operator
from fleet_workers.web.json_route import JsonRoute
from fleet_workers.web.problems import documented
from fleet_workers.web.resources import Resources, WebResources

router = APIRouter(prefix="/v1/tools", tags=["tools"], route_class=JsonRoute)
_READS_BODY = documented(
    HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.REQUEST_ENTITY_TOO_LARGE
)

_PRINTED: Final = r"^[^\x00-\x1f]{1,200}$"
_Name = Annotated[str, StringConstraints(pattern=_PRINTED)]
_ToolName = Annotated[str, Path(pattern=_PRINTED)]


class ToolScope(BaseModel):
    """For whom: one agent or all (`*`), and one tenant.

    Without `tenant` it is the key's own, or all with a key of the fleet.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    agent: _Name = EVERY
    tenant: _Name | None = None


class DisableRequest(ToolScope):
    """Why; people whose tasks wait or go on without the tool read it."""

    reason: Annotated[str, StringConstraints(min_length=1, max_length=500)]


class Enabled(BaseModel):
    """`was_disabled` is false where there was no such switch: a repeat is harmless."""

    model_config = ConfigDict(frozen=True)

    was_disabled: bool


class ToolState(BaseModel):
    """A tool of an agent, and the switches that disable it for some or all. More: `/v1/agents`."""

    model_config = ConfigDict(frozen=True)

    name: str
    agent: str
    effect: Effect
    repeat: RepeatSafety
    stakes: Stakes
    switches: tuple[Switch, ...]


class ToolList(BaseModel):
    """Tools by agent."""

    model_config = ConfigDict(frozen=True)

    tools: list[ToolState]


_FOR_ALL = ToolScope()


@router.get("", responses=documented())
def list_tools(resources: Resources, holder: DeskReader) -> ToolList:
    """The tools of all agents, with what is disabled for the key's tenant."""
    with resources.transaction() as connection:
        found = switches.all_switches(connection)
    seen = [each for each in found if holder.sees is None or each.tenant in {EVERY, holder.tenant}]
    return ToolList(
        tools=[
            ToolState(
                name=each.name,
                agent=release.name,
                effect=each.effect,
                repeat=each.repeat,
                stakes=each.stakes,
                switches=tuple(
                    switch
                    for switch in seen
                    if switch.tool == each.name and switch.agent in {EVERY, release.name}
                ),
            )
            for release, each in granted_tools(resources.catalogue)
        ]
    )


@router.post("/{name}/disable", responses=_READS_BODY)
def disable_tool(
    resources: Resources, holder: Operator, name: _ToolName, body: DisableRequest
) -> Switch:
    """Let no more calls of a tool begin. Disabling again keeps the first reason."""
    require_tool(resources.catalogue, name, agent=body.agent)
    tenant = _tenant(resources, holder, body)
    with resources.transaction() as connection:
        return switches.disable(
            connection,
            tool=name,
            tenant=tenant,
            agent=body.agent,
            reason=body.reason,
            disabled_by=holder.label,
        )


@router.post("/{name}/enable", responses=_READS_BODY)
def enable_tool(
    resources: Resources,
    holder: Operator,
    name: _ToolName,
    body: Annotated[ToolScope, Body()] = _FOR_ALL,
) -> Enabled:
    """Take one switch back, named as it was set; others that cover the same calls stay."""
    tenant = _tenant(resources, holder, body)
    with resources.transaction() as connection:
        was_disabled = switches.enable(
            connection, tool=name, tenant=tenant, agent=body.agent, enabled_by=holder.label
        )
    if not was_disabled:  # of a tool that is no longer installed a switch may be left
        require_tool(resources.catalogue, name, agent=body.agent)
    return Enabled(was_disabled=was_disabled)


def _tenant(resources: WebResources, holder: KeyHolder, scope: ToolScope) -> str:
    tenant = scope.tenant or holder.tenant
    if holder.sees not in {None, tenant}:
        raise UnknownTenant(f"No tenant {tenant!r} is known to this key.")
    if tenant != EVERY:
        with resources.transaction() as connection:
            if not tenant_exists(connection, tenant):
                raise UnknownTenant(f"No tenant {tenant!r} is known to this key.")
    return tenant
