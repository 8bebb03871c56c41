"""Sessions of people: a signed cookie that names a key, and ends by time or with the key."""

import base64
import hmac
import json
import time
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request
from starlette.responses import Response

from fleet_workers.store.accounts import KeyHolder
from fleet_workers.web.access import Right, has_right
from fleet_workers.web.errors import Forbidden, SignInNeeded
from fleet_workers.web.keys import live_holder
from fleet_workers.web.resources import ConsoleSettings, Resources

COOKIE = "fleet_console"
_COOKIE_PATH = "/console"


def start_session(
    request: Request, response: Response, holder: KeyHolder, settings: ConsoleSettings
) -> None:
    """Sign a browser in as a key's holder."""
    lifetime_seconds = int(settings.session.total_seconds())
    response.set_cookie(
        COOKIE,
        seal(holder.id, ends_at=int(time.time()) + lifetime_seconds, secret=settings.secret),
        max_age=lifetime_seconds,
        path=_COOKIE_PATH,
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )


def end_session(response: Response) -> None:
    """Sign a browser out."""
    response.delete_cookie(COOKIE, path=_COOKIE_PATH, httponly=True, samesite="strict")


def seal(key_id: UUID, *, ends_at: int, secret: bytes) -> str:
    """The cookie's value: what it says and an HMAC over it. `ends_at` is in Unix seconds."""
    said = base64.urlsafe_b64encode(json.dumps([str(key_id), ends_at]).encode()).decode()
    return f"{said}.{_signature(said, secret)}"


def open_seal(value: str, *, secret: bytes) -> UUID | None:
    """The key that a cookie names; None where it is not ours, was changed, or has ended."""
    said, _, signature = value.partition(".")
    if not hmac.compare_digest(signature.encode(), _signature(said, secret).encode()):
        return None
    key_id, ends_at = json.loads(base64.urlsafe_b64decode(said))
    return UUID(key_id) if ends_at > time.time() else None


def visitor(request: Request, resources: Resources) -> KeyHolder:
    """Who looks at a page. From then on the request sees that tenant only.

    Raises:
        SignInNeeded: Nobody is signed in, or the key behind the session was revoked.
        Forbidden: The role has no access to the console.
    """
    key_id = open_seal(request.cookies.get(COOKIE, ""), secret=resources.console.secret)
    if key_id is None:
        raise SignInNeeded("Sign in to see this page.")
    with resources.transaction() as connection:
        holder = live_holder(connection, key_id)
    if holder is None:
        raise SignInNeeded("Your key was revoked: sign in with another.")
    if not has_right(holder, Right.READ_DESK):
        raise Forbidden(f"A key with the role {holder.role} has no access to the console.")
    resources.show_only(holder.sees)
    return holder


Visitor = Annotated[KeyHolder, Depends(visitor)]


def _signature(said: str, secret: bytes) -> str:
    return hmac.digest(secret, b"fleet console session\0" + said.encode(), "sha256").hex()
