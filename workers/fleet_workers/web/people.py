"""Makes and changes accounts of people, no further than their maker may grant."""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from fleet_contracts.errors import InvalidInput
from fleet_workers.store import people
from fleet_workers.store.accounts import KeyHolder
from fleet_workers.store.people import PERSON_ROLES, Change, NewPerson, Person
from fleet_workers.web.access import Right, rights_of, rights_of_role
from fleet_workers.web.errors import Forbidden
from fleet_workers.web.keys import require_tenant
from fleet_workers.web.passwords import hash_password

LONGEST_EMAIL = 254
LONGEST_NAME = 200
MOST_WORDS = 50
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_WORD = re.compile(r"[a-z0-9][a-z0-9_.-]{0,59}")
_PASSWORD_BYTES = 15  # 120 random bits in twenty characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account to make. Without a password it waits for one. An empty name is the address."""

    tenant: str
    email: str
    name: str
    role: str
    groups: Sequence[str] = ()
    skills: Sequence[str] = ()
    password: str | None = None


def create_person(
    connection: Connection, new: Account, *, by: str, granter: KeyHolder | None = None
) -> Person:
    """Make an account. `granter` may give no more than it has; None is who operates the store.

    Raises:
        InvalidInput: A field does not fit, or the password is too weak; the text says which.
        UnknownTenant: The tenant was not added.
        AddressTaken: Somebody of any tenant has the address.
        Forbidden: The role allows more than the granter may give.
        TooManyTries: Too many passwords are hashed at the moment.
    """
    role, email = _role(new.role), _email(new.email)
    require_grantable(granter, rights_of_role(role))
    require_tenant(connection, new.tenant)
    person = NewPerson(
        tenant=new.tenant,
        email=email,
        name=_name(new.name) or email,
        role=role,
        groups=_words(new.groups, "group"),
        skills=_words(new.skills, "skill"),
        password_hash=None if new.password is None else hash_password(new.password, email=email),
    )
    return people.add(connection, person, by=by)


def change_person(
    connection: Connection,
    person: Person,
    wanted: Change,
    *,
    by: str,
    password: str | None = None,
    granter: KeyHolder | None = None,
) -> Person:
    """Change an account, in force at once. A new password signs the person out everywhere.

    Raises:
        Forbidden: The person has, or would have, more rights than the granter; or the granter
            would disable, or give another role to, themselves.
        Further as `create_person`.
    """
    role = person.role if wanted.role is None else _role(wanted.role)
    require_grantable(granter, rights_of_role(person.role) | rights_of_role(role))
    if (
        granter is not None
        and granter.person == person.id
        and (role != person.role or wanted.disabled)
    ):
        raise Forbidden("Nobody disables or changes the role of themselves: ask another admin.")
    if wanted.tenant is not None:
        require_tenant(connection, wanted.tenant)
    email = None if wanted.email is None else _email(wanted.email)
    change = Change(
        tenant=wanted.tenant,
        email=email,
        name=None if wanted.name is None else _name(wanted.name) or person.email,
        role=role,
        groups=None if wanted.groups is None else _words(wanted.groups, "group"),
        skills=None if wanted.skills is None else _words(wanted.skills, "skill"),
        disabled=wanted.disabled,
        password_hash=None
        if password is None
        else hash_password(password, email=email or person.email),
    )
    return people.change(connection, person, change, by=by)


def require_grantable(granter: KeyHolder | None, rights: frozenset[Right]) -> None:
    """Make sure that nobody gives rights that they lack.

    Raises:
        Forbidden: The granter lacks some of them.
    """
    lacking = frozenset() if granter is None else rights - rights_of(granter)
    if lacking:
        names = ", ".join(sorted(right.short_name for right in lacking))
        raise Forbidden(f"You cannot give what you may not do yourself: {names}.")


def random_password() -> str:
    """A password that nobody has to think of."""
    return secrets.token_urlsafe(_PASSWORD_BYTES)


def _role(role: str) -> str:
    if role not in PERSON_ROLES:
        raise InvalidInput(f"No person's role is called {role!r}: {', '.join(PERSON_ROLES)}.")
    return role


def _email(said: str) -> str:
    email = people.plain_email(said)
    if len(email) > LONGEST_EMAIL or not email.isprintable() or not _EMAIL.fullmatch(email):
        raise InvalidInput("That is no e-mail address: write one such as ann@example.com.")
    return email


def _name(said: str) -> str:
    name = said.strip()
    if len(name) > LONGEST_NAME or not name.isprintable():
        raise InvalidInput(f"A name has {LONGEST_NAME} characters at most, in one line.")
    return name


def _words(said: Sequence[str], kind: str) -> tuple[str, ...]:
    words = tuple(dict.fromkeys(word.strip() for word in said if word.strip()))
    wrong = next((word for word in words if not _WORD.fullmatch(word)), None)
    if wrong is not None or len(words) > MOST_WORDS:
        raise InvalidInput(
            f"A {kind} is a word of small letters, digits, '-', '_' and '.', such as billing-eu; "
            f"{MOST_WORDS} at most."
        )
    return words
