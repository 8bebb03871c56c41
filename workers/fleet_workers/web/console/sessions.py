"""Sessions of people: a cookie with a random token, whose session stands in the store.

A session ends by time, when it is not used, at sign-out, and with the person or key behind it. What
the visitor may do is read anew at each request. The cookie is SameSite=Strict: no link or form of
another site comes with it.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Annotated

from fastapi import Depends, Request
from starlette.responses import Response

from fleet_contracts.errors import Unavailable
from fleet_workers.store import audit, desk_sessions, people
from fleet_workers.store.accounts import KeyHolder
from fleet_workers.store.audit import AuditKind, Entry
from fleet_workers.web.access import Right, has_right
from fleet_workers.web.errors import Forbidden, SignInNeeded
from fleet_workers.web.resources import Resources, WebResources

COOKIE = "fleet_console"
_COOKIE_PATH = "/console"


def start_session(
    request: Request, response: Response, resources: WebResources, holder: KeyHolder, *, how: str
) -> None:
    """Sign a browser in, and end the session that it had before. `how` is for the audit trail."""
    lifetime = resources.console.sign_in.session
    with resources.transaction() as connection:
        desk_sessions.end(connection, request.cookies.get(COOKIE, ""))
        token = desk_sessions.start(connection, holder, lifetime=lifetime)
        if holder.person is not None:
            people.note_seen(connection, holder.person)
        audit.add(connection, _entry(holder, f"signed in by {how}"))
    response.set_cookie(
        COOKIE,
        token,
        max_age=int(lifetime.total_seconds()),
        path=_COOKIE_PATH,
        secure=is_https(request, resources),
        httponly=True,
        samesite="strict",
    )


def end_session(request: Request, response: Response, resources: WebResources) -> None:
    """Sign a browser out. Copies of its cookie are worth nothing from now on."""
    token = request.cookies.get(COOKIE, "")
    with resources.transaction() as connection:
        session = desk_sessions.find(connection, token, idle=resources.console.sign_in.idle)
        desk_sessions.end(connection, token)
        if session is not None:
            audit.add(connection, _entry(session.holder, "signed out"))
    response.delete_cookie(COOKIE, path=_COOKIE_PATH, httponly=True, samesite="strict")


def is_https(request: Request, resources: WebResources) -> bool:
    """Tell whether the browser reaches us over HTTPS: cookies are marked so then."""
    return request.url.scheme == "https" or (resources.console.public_url or "").startswith(
        "https://"
    )


def visitor_who(right: Right) -> Callable[[Request, WebResources], KeyHolder]:
    """Make the dependency that lets holders of a right in.

    From then on the request sees the holder's tenant only. The dependency raises `SignInNeeded`
    where nobody is signed in, or no longer, and `Forbidden` without the right.
    """

    def let_in(request: Request, resources: Resources) -> KeyHolder:
        holder = session_holder(request, resources)
        if not has_right(holder, Right.READ_DESK):
            raise Forbidden(f"The role {holder.role} has no access to the console.")
        if not has_right(holder, right):
            raise Forbidden(f"The role {holder.role} may not {right.value}: ask an admin.")
        resources.show_only(holder.sees)
        return holder

    return let_in


def session_holder(request: Request, resources: WebResources) -> KeyHolder:
    """Who is signed in.

    Raises:
        SignInNeeded: Nobody is, or the session has ended.
    """
    token = request.cookies.get(COOKIE, "")
    if not token:
        raise SignInNeeded("Sign in to see this page.")
    with resources.transaction() as connection:
        session = desk_sessions.find(connection, token, idle=resources.console.sign_in.idle)
    if session is None:
        raise SignInNeeded("Your session has ended: sign in again.")
    if session.note_due:
        # A store that is read-only for now still lets people read.
        with suppress(Unavailable), resources.transaction() as connection:
            desk_sessions.note_seen(connection, token)
            if session.holder.person is not None:
                people.note_seen(connection, session.holder.person)
    return session.holder


Visitor = Annotated[KeyHolder, Depends(visitor_who(Right.READ_DESK))]


def _entry(holder: KeyHolder, what: str) -> Entry:
    kept = {"person": str(holder.person)} if holder.person else {"key": str(holder.id)}
    return Entry(
        kind=AuditKind.SIGN_IN,
        who=holder.label,
        what=what,
        tenant=holder.sees,
        detail={**kept, "role": holder.role},
    )
