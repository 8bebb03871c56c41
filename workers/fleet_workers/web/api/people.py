"""People of a tenant: `GET|POST /v1/people`, `PATCH /v1/people/{id}`. For admins."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from fleet_workers.store import people
from fleet_workers.store.people import Change, Person
from fleet_workers.web.access import Admin
from fleet_workers.web.api.keys import AdminBody, admins_tenant
from fleet_workers.web.letters import body_schema, parse_body
from fleet_workers.web.people import Account, change_person, create_person
from fleet_workers.web.problems import documented
from fleet_workers.web.resources import Resources

router = APIRouter(prefix="/v1/people", tags=["people and keys"])
_WRITES = documented(
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.CONFLICT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.TOO_MANY_REQUESTS,
)


class PersonView(BaseModel):
    """A person's account. A reviewer with `groups` sees and decides only their reviews."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    id: UUID
    tenant: str
    email: str
    name: str
    role: str
    groups: tuple[str, ...]
    skills: tuple[str, ...]
    has_password: bool
    issuer: str | None = Field(description="The provider that the person signs in through.")
    created_at: datetime
    seen_at: datetime | None
    disabled_at: datetime | None


class PersonList(BaseModel):
    """People by tenant and address."""

    model_config = ConfigDict(frozen=True)

    people: list[PersonView]


class PersonRequest(BaseModel):
    """An account to make. Without `password` the person waits for one, or for a provider."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    email: str
    role: str
    name: str = ""
    tenant: str | None = None
    groups: list[str] = Field(default_factory=list)
    skills: list[str] = Field(default_factory=list)
    password: SecretStr | None = None


class PersonChange(BaseModel):
    """What changes; fields that are left out stay. A new password signs the person out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    email: str | None = None
    name: str | None = None
    role: str | None = None
    groups: list[str] | None = None
    skills: list[str] | None = None
    password: SecretStr | None = None
    disabled: bool | None = None


@router.get("", responses=documented())
def list_people(
    resources: Resources,
    holder: Admin,
    limit: Annotated[int, Query(ge=1, le=200, description="Rows at most.")] = 50,
) -> PersonList:
    """The people of the tenant."""
    with resources.transaction() as connection:
        found = people.listed(connection, tenant=holder.sees, limit=limit)
    return PersonList(people=[_view(person) for person in found])


@router.post(
    "",
    response_model=PersonView,
    status_code=HTTPStatus.CREATED,
    responses=_WRITES,
    openapi_extra=body_schema(PersonRequest),
)
def add_person(resources: Resources, holder: Admin, body: AdminBody) -> JSONResponse:
    """Make an account."""
    asked = parse_body(PersonRequest, body, exact=True)
    new = Account(
        tenant=admins_tenant(holder, asked.tenant),
        email=asked.email,
        name=asked.name,
        role=asked.role,
        groups=asked.groups,
        skills=asked.skills,
        password=_secret(asked.password),
    )
    with resources.transaction() as connection:
        person = create_person(connection, new, by=holder.label, granter=holder)
    headers = {"Location": f"/v1/people/{person.id}"}
    shown = _view(person).model_dump(mode="json")
    return JSONResponse(shown, HTTPStatus.CREATED, headers=headers)


@router.patch(
    "/{person_id}",
    responses=_WRITES,
    openapi_extra=body_schema(PersonChange),
)
def patch_person(
    resources: Resources, holder: Admin, person_id: UUID, body: AdminBody
) -> PersonView:
    """Change an account, disable it, or set its password. In force at the next request."""
    asked = parse_body(PersonChange, body, exact=True)
    wanted = Change(
        email=asked.email,
        name=asked.name,
        role=asked.role,
        groups=None if asked.groups is None else tuple(asked.groups),
        skills=None if asked.skills is None else tuple(asked.skills),
        disabled=asked.disabled,
    )
    with resources.transaction() as connection:
        person = people.find(connection, person_id, tenant=holder.sees)
        changed = change_person(
            connection,
            person,
            wanted,
            by=holder.label,
            password=_secret(asked.password),
            granter=holder,
        )
    return _view(changed)


def _view(person: Person) -> PersonView:
    return PersonView.model_validate(person)


def _secret(said: SecretStr | None) -> str | None:
    return None if said is None else said.get_secret_value()
