"""People and keys in the console, for admins: who may come in, as what, and who no longer."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from fleet_contracts.errors import FleetError, InvalidInput
from fleet_workers.store import accounts, people
from fleet_workers.store.accounts import ROLES, KeyHolder, tenant_names
from fleet_workers.store.people import PERSON_ROLES, Change, Person
from fleet_workers.web.access import Right
from fleet_workers.web.api.keys import admins_tenant
from fleet_workers.web.console.flashes import Flash, see_other
from fleet_workers.web.console.forms import Fields, SessionForm
from fleet_workers.web.console.rendering import page
from fleet_workers.web.console.sessions import visitor_who
from fleet_workers.web.errors import Forbidden, TooManyTries
from fleet_workers.web.keys import LONGEST_LIFETIME, NewKey, create_key, granted
from fleet_workers.web.people import (
    Account,
    change_person,
    create_person,
    random_password,
    require_grantable,
)
from fleet_workers.web.problems import describe
from fleet_workers.web.resources import Resources, WebResources

PEOPLE = "/console/people"
_ROWS = 500

router = APIRouter(prefix=PEOPLE)
ConsoleAdmin = Annotated[KeyHolder, Depends(visitor_who(Right.ADMINISTER))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Once:
    """A secret that is shown on one page and never again."""

    words: str
    secret: str


@router.get("")
def show_people(request: Request, resources: Resources, holder: ConsoleAdmin) -> Response:
    """Everybody with an account, and every key."""
    return _show(request, resources, holder)


@router.get("/{person_id}")
def show_person(
    request: Request, resources: Resources, holder: ConsoleAdmin, person_id: UUID
) -> Response:
    """One account, with the forms that change it."""
    with resources.transaction() as connection:
        person = people.find(connection, person_id, tenant=holder.sees)
    return page(request, "person.html", holder=holder, person=person, roles=PERSON_ROLES)


@router.post("/add")
def add(
    request: Request, resources: Resources, holder: ConsoleAdmin, form: SessionForm
) -> Response:
    """Make an account with a password of chance, which is shown once."""

    def change() -> Once:
        password = random_password()
        new = Account(
            tenant=admins_tenant(holder, form.get("tenant") or None),
            email=form.get("email"),
            name=form.get("name"),
            role=form.get("role"),
            groups=_words(form, "groups"),
            skills=_words(form, "skills"),
            password=password,
        )
        with resources.transaction() as connection:
            person = create_person(connection, new, by=holder.label, granter=holder)
        return Once(words=f"{person.email} signs in with this password:", secret=password)

    return _answer(request, resources, holder, change)


@router.post("/{person_id}/change")
def change_account(
    request: Request, resources: Resources, holder: ConsoleAdmin, person_id: UUID, form: SessionForm
) -> Response:
    """Change name, role, groups and skills."""
    wanted = Change(
        name=form.get("name"),
        role=form.get("role"),
        groups=_words(form, "groups"),
        skills=_words(form, "skills"),
    )

    def change() -> str:
        return f"{_changed(resources, holder, person_id, wanted).email} is changed."

    return _answer(request, resources, holder, change)


@router.post("/{person_id}/disable")
def disable(
    request: Request, resources: Resources, holder: ConsoleAdmin, person_id: UUID, _: SessionForm
) -> Response:
    """Let somebody in no more; their sessions end."""

    def change() -> str:
        wanted = Change(disabled=True)
        return f"{_changed(resources, holder, person_id, wanted).email} is disabled and signed out."

    return _answer(request, resources, holder, change)


@router.post("/{person_id}/enable")
def enable(
    request: Request, resources: Resources, holder: ConsoleAdmin, person_id: UUID, _: SessionForm
) -> Response:
    """Let somebody in again."""

    def change() -> str:
        wanted = Change(disabled=False)
        return f"{_changed(resources, holder, person_id, wanted).email} may sign in again."

    return _answer(request, resources, holder, change)


@router.post("/{person_id}/password")
def reset_password(
    request: Request, resources: Resources, holder: ConsoleAdmin, person_id: UUID, _: SessionForm
) -> Response:
    """Give somebody a new password of chance, which is shown once; it signs them out."""

    def change() -> Once:
        password = random_password()
        person = _changed(resources, holder, person_id, Change(), password=password)
        return Once(words=f"{person.email} signs in with this password:", secret=password)

    return _answer(request, resources, holder, change)


@router.post("/keys/add")
def add_key(
    request: Request, resources: Resources, holder: ConsoleAdmin, form: SessionForm
) -> Response:
    """Make a key, which is shown once."""

    def change() -> Once:
        new = NewKey(
            tenant=admins_tenant(holder, form.get("tenant") or None),
            role=form.get("role"),
            label=form.get("label"),
            rights=form.all("right") or None,
            expires_at=_end(form.get("days")),
        )
        require_grantable(holder, granted(new))
        with resources.transaction() as connection:
            issued = create_key(connection, new, by=holder.label)
        return Once(words=f"The key {issued.kept.label}:", secret=issued.text)

    return _answer(request, resources, holder, change)


@router.post("/keys/{key_id}/revoke")
def revoke_key(
    request: Request, resources: Resources, holder: ConsoleAdmin, key_id: UUID, _: SessionForm
) -> Response:
    """Refuse a key from now on."""

    def change() -> str:
        with resources.transaction() as connection:
            key = accounts.find_key(connection, key_id, tenant=holder.sees)
            accounts.revoke_key(connection, key_id, by=holder.label)
        return f"The key {key.label} is revoked."

    return _answer(request, resources, holder, change)


def _answer(
    request: Request, resources: WebResources, holder: KeyHolder, change: Callable[[], str | Once]
) -> Response:
    """Do it, and tell what came of it; a secret only on the page that answers the form."""
    try:
        done = change()
    except (InvalidInput, Forbidden, TooManyTries) as error:
        return _show(request, resources, holder, error=error)
    if isinstance(done, Once):
        return _show(request, resources, holder, once=done)
    return see_other(request, PEOPLE, Flash(text=done))


def _show(
    request: Request,
    resources: WebResources,
    holder: KeyHolder,
    *,
    error: FleetError | None = None,
    once: Once | None = None,
) -> Response:
    with resources.transaction() as connection:
        found = people.listed(connection, tenant=holder.sees, limit=_ROWS)
        keys = accounts.keys(connection, tenant=holder.sees, limit=_ROWS)
        tenants = [*tenant_names(connection), "*"] if holder.sees is None else []
    return page(
        request,
        "people.html",
        status=HTTPStatus(describe(error).status) if error else HTTPStatus.OK,
        holder=holder,
        people=found,
        keys=keys,
        tenants=tenants,
        roles=PERSON_ROLES,
        key_roles=ROLES,
        rights=list(Right),
        fault=str(error) if error else None,
        once=once,
    )


def _changed(
    resources: WebResources,
    holder: KeyHolder,
    person_id: UUID,
    wanted: Change,
    *,
    password: str | None = None,
) -> Person:
    with resources.transaction() as connection:
        person = people.find(connection, person_id, tenant=holder.sees)
        return change_person(
            connection, person, wanted, by=holder.label, password=password, granter=holder
        )


def _words(form: Fields, name: str) -> tuple[str, ...]:
    return tuple(form.get(name).replace(",", " ").split())


def _end(days: str) -> datetime | None:
    if not days:
        return None
    if not (days.isascii() and days.isdigit() and 1 <= int(days[:9]) <= LONGEST_LIFETIME.days):
        raise InvalidInput(
            f"A key lasts 1 to {LONGEST_LIFETIME.days:,} days, or, left empty, until revoked."
        )
    return datetime.now(UTC) + timedelta(days=int(days))
