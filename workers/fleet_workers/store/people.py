"""People who sign in to the console: their role, their tenant, and what of the desk is theirs."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from fleet_contracts.errors import InvalidInput
from fleet_contracts.ids import new_task_id
from fleet_workers.store import audit
from fleet_workers.store.accounts import FLEET, USE_NOTED_EVERY, KeyHolder
from fleet_workers.store.audit import AuditKind, Entry
from fleet_workers.store.desk_tables import desk_sessions, people

PERSON_ROLES = ("viewer", "reviewer", "operator", "admin")


class UnknownPerson(InvalidInput):
    """No person of that id or address exists in the caller's tenant."""

    code = "unknown_person"


class AddressTaken(InvalidInput):
    """Another person signs in with this e-mail address."""

    code = "address_taken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody's account. `email` is in small letters.

    `groups` are those whose reviews a reviewer sees and decides; empty is all. Other roles always
    see all. `issuer` names the provider that vouches for whoever signs in without a password.
    """

    id: UUID
    tenant: str
    email: str
    name: str
    role: str
    groups: tuple[str, ...]
    skills: tuple[str, ...]
    has_password: bool
    issuer: str | None
    created_at: datetime
    seen_at: datetime | None
    disabled_at: datetime | None

    @property
    def holder(self) -> KeyHolder:
        """What the person may do, in the form that keys have too."""
        narrowed = self.role == "reviewer" and bool(self.groups)
        return KeyHolder(
            id=self.id,
            tenant=self.tenant,
            role=self.role,
            label=self.email,
            groups=self.groups if narrowed else None,
            skills=self.skills,
            person=self.id,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPerson:
    """An account to make. Who has neither a password nor a subject cannot sign in yet."""

    tenant: str
    email: str
    name: str
    role: str
    groups: tuple[str, ...] = ()
    skills: tuple[str, ...] = ()
    password_hash: str | None = None
    issuer: str | None = None
    subject: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What changes of an account; None stays as it is."""

    tenant: str | None = None
    email: str | None = None
    name: str | None = None
    role: str | None = None
    groups: tuple[str, ...] | None = None
    skills: tuple[str, ...] | None = None
    disabled: bool | None = None
    password_hash: str | None = None


def plain_email(email: str) -> str:
    """An address in the form in which it is kept and looked up."""
    return email.strip().lower()


def add(connection: Connection, new: NewPerson, *, by: str = FLEET) -> Person:
    """Make an account.

    Raises:
        AddressTaken: Somebody of any tenant has the address.
    """
    values = {name: getattr(new, name) for name in NewPerson.__dataclass_fields__}
    for name in ("groups", "skills"):
        values[name] = list(values[name])
    query = insert(people).values(id=new_task_id(), **values).returning(people)
    try:
        with connection.begin_nested():
            row = connection.execute(query).one()
    except IntegrityError as error:
        raise _taken(new.email) from error
    person = _person(row)
    audit.add(connection, _entry("person added", person, by=by))
    return person


def change(connection: Connection, person: Person, wanted: Change, *, by: str = FLEET) -> Person:
    """Change an account, in force at the person's next request. A new password ends all sessions.

    Raises:
        AddressTaken: Somebody else has the new address.
        UnknownPerson: The account is gone.
    """
    values = _differences(person, wanted)
    if not values:
        return person
    query = update(people).where(people.c.id == person.id).values(**values).returning(people)
    try:
        with connection.begin_nested():
            row = connection.execute(query).one_or_none()
    except IntegrityError as error:
        raise _taken(wanted.email or person.email) from error
    if row is None:
        raise unknown(person.id)
    if "password_hash" in values or "disabled_at" in values:
        connection.execute(delete(desk_sessions).where(desk_sessions.c.person_id == person.id))
    changed = _person(row)
    audit.add(connection, _entry(_what(values), changed, by=by, fields=sorted(values)))
    return changed


def refresh_hash(connection: Connection, person: Person, *, old: str, new: str) -> None:
    """Store a hash of the same password, unless the password was changed meanwhile."""
    connection.execute(
        update(people)
        .where(people.c.id == person.id, people.c.password_hash == old)
        .values(password_hash=new)
    )


def find(connection: Connection, person_id: UUID, *, tenant: str | None) -> Person:
    """One person of a tenant, or of any for None.

    Raises:
        UnknownPerson: There is none.
    """
    query = select(people).where(people.c.id == person_id)
    if tenant is not None:
        query = query.where(people.c.tenant == tenant)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise unknown(person_id)
    return _person(row)


def by_email(connection: Connection, email: str) -> tuple[Person, str | None] | None:
    """Who has an address, and the hash of the password; None where nobody has it."""
    row = connection.execute(select(people).where(people.c.email == email)).one_or_none()
    return None if row is None else (_person(row), row.password_hash)


def by_subject(connection: Connection, *, issuer: str, subject: str) -> Person | None:
    """Whom a provider of sign-ins means by a subject."""
    query = select(people).where(people.c.issuer == issuer, people.c.subject == subject)
    row = connection.execute(query).one_or_none()
    return None if row is None else _person(row)


def enabled_holder(connection: Connection, person_id: UUID) -> KeyHolder | None:
    """What a person may do now; None once the account is disabled."""
    query = select(people).where(people.c.id == person_id, people.c.disabled_at.is_(None))
    row = connection.execute(query).one_or_none()
    return None if row is None else _person(row).holder


def listed(connection: Connection, *, tenant: str | None, limit: int) -> list[Person]:
    """The people of a tenant, or of all, by tenant and address."""
    query = select(people)
    if tenant is not None:
        query = query.where(people.c.tenant == tenant)
    found = query.order_by(people.c.tenant, people.c.email).limit(limit)
    return [_person(row) for row in connection.execute(found)]


def note_seen(connection: Connection, person_id: UUID) -> None:
    """Remember that a person was here now, exact to the minute. Waits for nobody."""
    stale = or_(people.c.seen_at.is_(None), people.c.seen_at < func.now() - USE_NOTED_EVERY)
    free = (
        select(people.c.id)
        .where(people.c.id == person_id, stale)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    connection.execute(update(people).where(people.c.id == free).values(seen_at=func.now()))


def unknown(who: object) -> UnknownPerson:
    """The error for a person who is not there."""
    return UnknownPerson(f"Nobody is known as {who}: list the people to see who there is.")


def _differences(person: Person, wanted: Change) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name in ("tenant", "email", "name", "role"):
        if (value := getattr(wanted, name)) not in {None, getattr(person, name)}:
            values[name] = value
    for name in ("groups", "skills"):
        if (value := getattr(wanted, name)) not in {None, getattr(person, name)}:
            values[name] = list(value)
    if wanted.disabled is not None and wanted.disabled != (person.disabled_at is not None):
        values["disabled_at"] = func.now() if wanted.disabled else None
    if wanted.password_hash is not None:
        values["password_hash"] = wanted.password_hash
    return values


def _what(values: Mapping[str, Any]) -> str:
    if "disabled_at" in values:
        return "person enabled" if values["disabled_at"] is None else "person disabled"
    return "password set" if set(values) == {"password_hash"} else "person changed"


def _entry(what: str, person: Person, *, by: str, fields: list[str] | None = None) -> Entry:
    detail: dict[str, Any] = {
        "person": str(person.id),
        "email": person.email,
        "role": person.role,
        "groups": list(person.groups),
    }
    if fields is not None:
        detail["changed"] = fields
    tenant = None if person.tenant == "*" else person.tenant
    return Entry(kind=AuditKind.PERSON, who=by, what=what, tenant=tenant, detail=detail)


def _taken(email: str) -> AddressTaken:
    return AddressTaken(f"Somebody signs in as {email} already: choose another address.")


def _person(row: Row[Any]) -> Person:
    return Person(
        id=row.id,
        tenant=row.tenant,
        email=row.email,
        name=row.name,
        role=row.role,
        groups=tuple(row.groups),
        skills=tuple(row.skills),
        has_password=row.password_hash is not None,
        issuer=row.issuer,
        created_at=row.created_at,
        seen_at=row.seen_at,
        disabled_at=row.disabled_at,
    )
