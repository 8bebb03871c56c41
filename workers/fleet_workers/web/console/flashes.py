"""Tells a person on the next page what came of a form: a cookie that is read once.

It is signed with the session's own cookie, so that no other site can put words on a page.
"""

import base64
import hmac
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal

from fastapi import Request
from fastapi.responses import RedirectResponse, Response

from fleet_workers.web.console.sessions import COOKIE

_FLASH = "fleet_flash"
_PATH = "/console"
_LIFETIME_SECONDS = 60  # the redirect that follows takes less than one
_MAX_TEXT = 600  # a browser keeps 4,096 bytes a cookie


@dataclass(frozen=True, slots=True, kw_only=True)
class Flash:
    """What happened, and where to read more: `link` is a page of the console."""

    text: str
    tone: Literal["good", "bad", "wait"] = "good"
    link: str = ""
    link_text: str = ""


def see_other(request: Request, target: str, flash: Flash | None = None) -> Response:
    """Send the browser to a page of the console, which shows the flash."""
    response = RedirectResponse(target, status_code=HTTPStatus.SEE_OTHER)
    if flash is None:
        return response
    said = [flash.text[:_MAX_TEXT], flash.tone, flash.link, flash.link_text]
    packed = base64.urlsafe_b64encode(json.dumps(said).encode()).decode()
    response.set_cookie(
        _FLASH,
        f"{packed}.{_signature(request, packed)}",
        max_age=_LIFETIME_SECONDS,
        path=_PATH,
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return response


def read_flash(request: Request) -> Flash | None:
    """The flash that came with a request; None for none, and for one that is not ours.

    Without a session there is none, for anybody could sign it.
    """
    packed, _, signature = request.cookies.get(_FLASH, "").partition(".")
    if not request.cookies.get(COOKIE) or not hmac.compare_digest(
        signature.encode("utf-8", "replace"), _signature(request, packed).encode()
    ):
        return None
    text, tone, link, link_text = json.loads(base64.urlsafe_b64decode(packed))
    return Flash(text=text, tone=tone, link=link, link_text=link_text)


def forget_flash(response: Response) -> None:
    """Show it no more."""
    response.delete_cookie(_FLASH, path=_PATH, httponly=True, samesite="strict")


def _signature(request: Request, packed: str) -> str:
    session = request.cookies.get(COOKIE, "").encode("utf-8", "surrogateescape")
    return hmac.digest(session, b"fleet console flash\0" + packed.encode(), "sha256").hex()
