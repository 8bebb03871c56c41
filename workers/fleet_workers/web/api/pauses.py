"""`POST /v1/agents/{name}/pause|resume`, `POST /v1/tenants/{name}/pause|resume`, `GET /v1/pauses`.

A paused task stays queued; one that runs stops before its next step, within about a second.
"""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, StringConstraints

from fleet_contracts.envelope import AUTO_AGENT
from fleet_contracts.errors import UnknownTenant
from fleet_workers.store import pauses
from fleet_workers.store.accounts import KeyHolder, tenant_exists
from fleet_workers.store.pauses import EVERY, Pause
from fleet_workers.web.access import DeskReader, Operator
from fleet_workers.web.json_route import JsonRoute
from fleet_workers.web.problems import documented
from fleet_workers.web.resources import Resources, WebResources

router = APIRouter(prefix="/v1", tags=["pauses"], route_class=JsonRoute)
_READS_BODY = documented(HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)


class PauseRequest(BaseModel):
    """Why; people who find their tasks waiting read it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: Annotated[str, StringConstraints(min_length=1, max_length=500)]


class PauseList(BaseModel):
    """What is paused now, oldest first. `*` stands for every agent, or every tenant."""

    model_config = ConfigDict(frozen=True)

    pauses: list[Pause]


class Resumed(BaseModel):
    """`was_paused` is false where nothing was paused: a repeat is harmless."""

    model_config = ConfigDict(frozen=True)

    was_paused: bool


@router.get("/pauses", responses=documented())
def list_pauses(resources: Resources, holder: DeskReader) -> PauseList:
    """What is paused for the key's tenant."""
    with resources.transaction() as connection:
        found = pauses.all_pauses(connection)
    seen = [each for each in found if holder.sees is None or each.tenant in {EVERY, holder.tenant}]
    return PauseList(pauses=seen)


@router.post("/agents/{name}/pause", responses=_READS_BODY)
def pause_agent(resources: Resources, holder: Operator, name: str, body: PauseRequest) -> Pause:
    """Let no task of an agent run, for the key's tenant, or for all with a key of the fleet."""
    _check_agent(resources, name)
    return _pause(resources, holder, agent=name, tenant=holder.tenant, reason=body.reason)


@router.post("/agents/{name}/resume", responses=documented())
def resume_agent(resources: Resources, holder: Operator, name: str) -> Resumed:
    """Let an agent's tasks run again; those that waited are woken within a second."""
    _check_agent(resources, name)
    return _resume(resources, holder, agent=name, tenant=holder.tenant)


@router.post("/tenants/{name}/pause", responses=_READS_BODY)
def pause_tenant(resources: Resources, holder: Operator, name: str, body: PauseRequest) -> Pause:
    """Let no task of a tenant run."""
    _check_tenant(resources, holder, name)
    return _pause(resources, holder, agent=EVERY, tenant=name, reason=body.reason)


@router.post("/tenants/{name}/resume", responses=documented())
def resume_tenant(resources: Resources, holder: Operator, name: str) -> Resumed:
    """Let a tenant's tasks run again; those that waited are woken within a second."""
    _check_tenant(resources, holder, name)
    return _resume(resources, holder, agent=EVERY, tenant=name)


def _pause(
    resources: WebResources, holder: KeyHolder, *, agent: str, tenant: str, reason: str
) -> Pause:
    with resources.transaction() as connection:
        return pauses.pause(
            connection, agent=agent, tenant=tenant, reason=reason, paused_by=holder.label
        )


def _resume(resources: WebResources, holder: KeyHolder, *, agent: str, tenant: str) -> Resumed:
    with resources.transaction() as connection:
        was_paused = pauses.resume(connection, agent=agent, tenant=tenant, resumed_by=holder.label)
        return Resumed(was_paused=was_paused)


def _check_agent(resources: WebResources, name: str) -> None:
    if name != AUTO_AGENT:
        resources.catalogue.get(name)


def _check_tenant(resources: WebResources, holder: KeyHolder, name: str) -> None:
    with resources.transaction() as connection:
        known = tenant_exists(connection, name)
    if not known or holder.sees not in {None, name}:
        raise UnknownTenant(f"No tenant {name!r} is known to this key.")
