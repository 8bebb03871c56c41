"""Whom a key or a password lets in to the console. Every refusal stands in the audit trail."""

from sqlalchemy import Connection

from fleet_workers.store import audit, people
from fleet_workers.store.accounts import KeyHolder, holder_of, tenant_exists
from fleet_workers.store.audit import AuditKind, Entry
from fleet_workers.store.people import AddressTaken, Change, NewPerson, Person
from fleet_workers.web import passwords
from fleet_workers.web.access import Right, has_right
from fleet_workers.web.errors import SignInRefused
from fleet_workers.web.keys import ALL_TENANTS
from fleet_workers.web.oidc import Answer
from fleet_workers.web.oidc_claims import Identity
from fleet_workers.web.resources import WebResources
from fleet_workers.web.tries import take_try

_WRONG_KEY = "This key is not known, was revoked, or has expired."
_NOT_RIGHT = "The e-mail address or the password is wrong."
_DISABLED = "This account is disabled: ask an admin."
_STRANGER = "somebody"
_PROVIDER = "single sign-on"


def admit_key(resources: WebResources, key: str, *, address: str | None) -> KeyHolder:
    """Let the holder of a key in.

    Raises:
        SignInRefused: The key is wrong, or does not open the console.
        TooManyTries: Nothing was looked up.
        Unavailable: The store is away.
    """
    _count(resources, address=address)
    with resources.transaction() as connection:
        holder = holder_of(connection, key)
        fault = _WRONG_KEY if holder is None else fault_of(holder)
        if fault is not None:
            note_refusal(connection, "key", fault, tenant=holder.sees if holder else None)
    if holder is None or fault is not None:
        raise SignInRefused(fault or _WRONG_KEY)
    return holder


def admit_password(
    resources: WebResources, email: str, password: str, *, address: str | None
) -> KeyHolder:
    """Let a person in. Whether somebody has an account is told to nobody, in words or by time.

    Raises:
        SignInRefused: The address or the password is wrong, or the account is disabled.
        TooManyTries: Nothing was looked up.
        Unavailable: The store is away.
    """
    email = people.plain_email(email)
    _count(resources, address=address, account=email)
    with resources.transaction() as connection:
        person, password_hash = people.by_email(connection, email) or (None, None)
    right = passwords.is_right(password, password_hash)  # takes long: no connection waits for it
    fault = _fault(person, right=right)
    if person is None or fault is not None:
        with resources.transaction() as connection:
            tenant = person.holder.sees if person else None
            note_refusal(connection, "password", fault, tenant=tenant, email=email)
        raise SignInRefused(fault or _NOT_RIGHT)
    if password_hash is not None and passwords.is_outdated(password_hash):
        fresh = passwords.hash_again(password)
        with resources.transaction() as connection:
            people.refresh_hash(connection, person, old=password_hash, new=fresh)
    return person.holder


def admit_identity(
    resources: WebResources, flow: str, answer: Answer, *, redirect_uri: str, address: str | None
) -> KeyHolder:
    """Let somebody in for whom the provider vouches. Role and tenant are taken from it each time.

    Raises:
        SignInRefused: The provider does not vouch for them, the tenant is not known, the account is
            disabled, or somebody else has the e-mail address.
        TooManyTries: The provider was not asked.
        Unavailable: The provider or the store is away.
    """
    sign_on = resources.console.single_sign_on
    if sign_on is None:
        raise SignInRefused("There is no single sign-on here.")
    _count(resources, address=address)
    try:
        identity = sign_on.finish(flow, answer, redirect_uri=redirect_uri)
        with resources.transaction() as connection:
            return _kept(connection, identity).holder
    except SignInRefused as error:
        with resources.transaction() as connection:
            note_refusal(connection, "single sign-on", str(error))
        raise


def fault_of(holder: KeyHolder) -> str | None:
    """Why somebody who is known may not use the console; None where nothing speaks against it."""
    if has_right(holder, Right.READ_DESK):
        return None
    return f"A key with the role {holder.role} has no access to the console."


def note_refusal(
    connection: Connection,
    how: str,
    why: str | None,
    *,
    tenant: str | None = None,
    email: str | None = None,
) -> None:
    """Write down that somebody was not let in; of the address a digest only."""
    detail = {} if email is None else {"email": audit.digest(email)}
    entry = Entry(
        kind=AuditKind.SIGN_IN,
        who=_STRANGER,
        what=f"sign-in by {how} refused",
        why=why or "",
        tenant=tenant,
        detail=detail,
    )
    audit.add(connection, entry)


def _count(resources: WebResources, *, address: str | None, account: str | None = None) -> None:
    take_try(
        resources.limits,
        tries_a_minute=resources.console.sign_in.tries_a_minute,
        address=address,
        account=account,
    )


def _fault(person: Person | None, *, right: bool) -> str | None:
    if person is None or not right:
        return _NOT_RIGHT
    return None if person.disabled_at is None else _DISABLED


def _kept(connection: Connection, identity: Identity) -> Person:
    """The account of an identity, made or brought up to date.

    Raises:
        SignInRefused: As `admit_identity`.
    """
    is_fleet_wide = identity.tenant == ALL_TENANTS and identity.is_tenant_fixed
    if not is_fleet_wide and not tenant_exists(connection, identity.tenant):
        raise SignInRefused("The provider names a tenant that is not known: ask an admin.")
    try:
        person = _found_or_made(connection, identity)
        if person.disabled_at is not None:
            raise SignInRefused(_DISABLED)
        wanted = Change(
            tenant=identity.tenant, email=identity.email, name=identity.name, role=identity.role
        )
        return people.change(connection, person, wanted, by=_PROVIDER)
    except AddressTaken as error:
        raise SignInRefused(
            "Another account has your e-mail address: ask an admin to give it another one."
        ) from error


def _found_or_made(connection: Connection, identity: Identity) -> Person:
    """The account of an identity, which a sign-in at the same moment may have made.

    Raises:
        AddressTaken: It would be new, and somebody else has the address.
    """

    def find() -> Person | None:
        return people.by_subject(connection, issuer=identity.issuer, subject=identity.subject)

    if (known := find()) is not None:
        return known
    try:
        return people.add(connection, _account(identity), by=_PROVIDER)
    except AddressTaken:
        if (made := find()) is not None:
            return made
        raise


def _account(identity: Identity) -> NewPerson:
    return NewPerson(
        tenant=identity.tenant,
        email=identity.email,
        name=identity.name,
        role=identity.role,
        issuer=identity.issuer,
        subject=identity.subject,
    )
