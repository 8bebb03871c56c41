"""Erases customers on request: `GET|POST /v1/erasures`, `GET /v1/erasures/{id}`. For admins."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from fleet_contracts.errors import UnknownTenant
from fleet_workers.store import accounts, erasure_requests
from fleet_workers.store.erasure_requests import Erasure, UnknownErasure
from fleet_workers.web.access import Admin
from fleet_workers.web.api.keys import AdminBody, admins_tenant
from fleet_workers.web.letters import body_schema, parse_body
from fleet_workers.web.problems import documented
from fleet_workers.web.resources import Resources

router = APIRouter(prefix="/v1/erasures", tags=["erasures"])


class ErasureRequest(BaseModel):
    """A customer to erase, as tasks name it. An admin of all tenants names the tenant.

    Open tasks of the customer are a conflict, or are cancelled with `cancel_open`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    customer: str = Field(min_length=1, max_length=500)
    tenant: str | None = None
    cancel_open: bool = False


class ErasureView(BaseModel):
    """An erasure and its receipt: rows by table. It names the customer to nobody.

    Until `finished_at` is set, a janitor is at it, or waits until `due_at`.
    """

    model_config = ConfigDict(frozen=True, from_attributes=True)

    id: UUID
    tenant: str
    requested_by: str
    created_at: datetime
    due_at: datetime
    finished_at: datetime | None
    erased: dict[str, int]


class ErasureList(BaseModel):
    """Erasures, the newest first."""

    model_config = ConfigDict(frozen=True)

    erasures: list[ErasureView]


@router.get("", responses=documented())
def list_erasures(
    resources: Resources,
    holder: Admin,
    limit: Annotated[int, Query(ge=1, le=200, description="Rows at most.")] = 50,
) -> ErasureList:
    """The newest erasures of the tenant."""
    with resources.transaction() as connection:
        found = erasure_requests.newest(connection, tenant=holder.sees, limit=limit)
    return ErasureList(erasures=[_view(each) for each in found])


@router.get("/{erasure_id}", responses=documented(HTTPStatus.NOT_FOUND))
def read_erasure(resources: Resources, holder: Admin, erasure_id: UUID) -> ErasureView:
    """One erasure: how far it is, and what it erased."""
    with resources.transaction() as connection:
        found = erasure_requests.find(connection, erasure_id, tenant=holder.sees)
    if found is None:
        raise UnknownErasure(f"No erasure {erasure_id} is known to this key.")
    return _view(found)


@router.post(
    "",
    response_model=ErasureView,
    status_code=HTTPStatus.ACCEPTED,
    responses=documented(
        HTTPStatus.BAD_REQUEST, HTTPStatus.CONFLICT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    ),
    openapi_extra=body_schema(ErasureRequest),
)
def ask_for_erasure(resources: Resources, holder: Admin, body: AdminBody) -> JSONResponse:
    """Erase a customer. A janitor does it; asking again while it is at it gives the same."""
    asked = parse_body(ErasureRequest, body)
    tenant = admins_tenant(holder, asked.tenant)
    with resources.transaction() as connection:
        if not accounts.tenant_exists(connection, tenant):
            raise UnknownTenant(f"No tenant is called {tenant!r}.")
        found = erasure_requests.request(
            connection,
            tenant=tenant,
            customer=asked.customer,
            cancel_open=asked.cancel_open,
            by=holder.label,
        )
    headers = {"Location": f"/v1/erasures/{found.id}"}
    return JSONResponse(_view(found).model_dump(mode="json"), HTTPStatus.ACCEPTED, headers=headers)


def _view(erasure: Erasure) -> ErasureView:
    return ErasureView.model_validate(erasure)
