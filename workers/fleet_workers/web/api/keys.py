"""Keys of a tenant: `GET|POST /v1/keys`, `DELETE /v1/keys/{id}`. For admins."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from fleet_contracts.errors import InvalidInput
from fleet_workers.store import accounts
from fleet_workers.store.accounts import Key, KeyHolder
from fleet_workers.web.access import Admin
from fleet_workers.web.bodies import read_body
from fleet_workers.web.errors import Forbidden
from fleet_workers.web.keys import NewKey, create_key, granted
from fleet_workers.web.letters import body_schema, parse_body
from fleet_workers.web.people import require_grantable
from fleet_workers.web.problems import documented
from fleet_workers.web.resources import Resources

router = APIRouter(prefix="/v1/keys", tags=["people and keys"])
_MAX_BODY_BYTES = 64 * 1024


class KeyView(BaseModel):
    """A key, without itself.

    `rights` is null for all of the role's; `used_at` is exact to the minute.
    """

    model_config = ConfigDict(frozen=True, from_attributes=True)

    id: UUID
    tenant: str
    role: str
    label: str
    rights: tuple[str, ...] | None
    created_at: datetime
    expires_at: datetime | None
    used_at: datetime | None
    revoked_at: datetime | None


class NewKeyView(KeyView):
    """A key that was made just now. `key` is shown this once."""

    key: str


class KeyList(BaseModel):
    """Keys, the newest first."""

    model_config = ConfigDict(frozen=True)

    keys: list[KeyView]


class KeyRequest(BaseModel):
    """A key to make. An admin of all tenants names the tenant; `*` is all.

    `rights` are some of the role's: submit, read_tasks, read_desk, decide, operate, administer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: str
    label: str
    tenant: str | None = None
    rights: list[str] | None = Field(default=None, max_length=20)
    expires_at: AwareDatetime | None = None


# The key is taken before the body is read, so that strangers cannot fill the memory.
async def _body(_: Admin, request: Request) -> bytes:
    return await read_body(request, limit_bytes=_MAX_BODY_BYTES)


AdminBody = Annotated[bytes, Depends(_body)]
"""The body of a request that only admins may make."""


@router.get("", responses=documented())
def list_keys(
    resources: Resources,
    holder: Admin,
    revoked: Annotated[bool, Query(description="Show keys that were revoked, too.")] = False,
    limit: Annotated[int, Query(ge=1, le=200, description="Rows at most.")] = 50,
) -> KeyList:
    """The keys of the tenant."""
    with resources.transaction() as connection:
        found = accounts.keys(connection, tenant=holder.sees, limit=limit, revoked=revoked)
    return KeyList(keys=[key_view(key) for key in found])


@router.post(
    "",
    response_model=NewKeyView,
    status_code=HTTPStatus.CREATED,
    responses=documented(HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    openapi_extra=body_schema(KeyRequest),
)
def add_key(resources: Resources, holder: Admin, body: AdminBody) -> JSONResponse:
    """Make a key. It is in the answer, and cannot be read again."""
    asked = parse_body(KeyRequest, body, exact=True)
    new = NewKey(
        tenant=admins_tenant(holder, asked.tenant),
        role=asked.role,
        label=asked.label,
        rights=asked.rights,
        expires_at=asked.expires_at,
    )
    with resources.transaction() as connection:
        require_grantable(holder, granted(new))
        issued = create_key(connection, new, by=holder.label)
    view = NewKeyView(key=issued.text, **key_view(issued.kept).model_dump())
    headers = {"Location": f"/v1/keys/{issued.kept.id}"}
    return JSONResponse(view.model_dump(mode="json"), HTTPStatus.CREATED, headers=headers)


@router.delete(
    "/{key_id}", status_code=HTTPStatus.NO_CONTENT, responses=documented(HTTPStatus.NOT_FOUND)
)
def revoke_key(resources: Resources, holder: Admin, key_id: UUID) -> Response:
    """Revoke a key. It is refused from now on, and its sessions end; doing it again is harmless."""
    with resources.transaction() as connection:
        accounts.find_key(connection, key_id, tenant=holder.sees)
        accounts.revoke_key(connection, key_id, by=holder.label)
    return Response(status_code=HTTPStatus.NO_CONTENT)


def key_view(key: Key) -> KeyView:
    """A key as the API shows it."""
    return KeyView.model_validate(key)


def admins_tenant(holder: KeyHolder, named: str | None) -> str:
    """For which tenant an admin makes something: their own, or, for all tenants, the one named.

    Raises:
        Forbidden: Another tenant than the admin's own is named.
        InvalidInput: The admin is one of all tenants and names none.
    """
    if holder.sees is None:
        if named is None:
            raise InvalidInput("You act for all tenants: name a tenant, or * for all.")
        return named
    if named not in {None, holder.tenant}:
        raise Forbidden(f"You act for the tenant {holder.tenant}: leave tenant out.")
    return holder.tenant
